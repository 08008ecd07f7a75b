// Finds the knee: the highest rate that is accepted and delivered in time, in steps.
import exec from 'k6/execution';
import { QUICK, arrivals, base, enrol, remind, seconds, settle, settled, summary, toGateway } from './lib.js';

const STEPS = QUICK ? [100, 200, 400] : [500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 5000, 6000];
const [TIME, PAUSE] = [seconds(30), QUICK ? 1 : 5];
const BEST = { accept: 100, gateway: 1000 };

export const setup = enrol;
export const teardown = () => settle(600);
const steps = (of) => Object.assign({}, ...STEPS.map(of));
export const options = {
  ...base,
  scenarios: steps((rate, at) => ({ [`at_${rate}`]: arrivals(rate, at * (TIME + PAUSE), TIME, 'step', { gracefulStop: '5s' }) })),
  thresholds: {
    ...settled,
    // The lowest step has to hold on any machine; the others are told.
    [`http_req_duration{phase:at_${STEPS[0]}}`]: [`p(99)<${BEST.accept}`],
    [`checks{phase:at_${STEPS[0]}}`]: ['rate==1'],
    ...steps((rate) => toGateway(`at_${rate}`, rate === STEPS[0] ? `value<${BEST.gateway}` : 'value>=0')),
    ...steps((rate, at) => (at === 0 ? {} : { [`http_req_duration{phase:at_${rate}}`]: ['p(99)>=0'], [`checks{phase:at_${rate}}`]: ['rate>=0'] })),
  },
};

export const step = () => remind(exec.scenario.name);

export function handleSummary(data) {
  const rows = STEPS.map((rate) => {
    const of = (name, value) => data.metrics[`${name}{phase:at_${rate}}`]?.values[value] ?? 0;
    const row = {
      rate, accepted: of('checks', 'passes') / TIME, p50: of('http_req_duration', 'p(50)'), p95: of('http_req_duration', 'p(95)'),
      p99: of('http_req_duration', 'p(99)'), gateway50: of('to_gateway_p50_ms', 'value'), gateway95: of('to_gateway_p95_ms', 'value'),
      gateway99: of('to_gateway_p99_ms', 'value'),
    };
    const holds = row.accepted >= 0.98 * rate && of('checks', 'fails') === 0 && row.p99 < BEST.accept && row.gateway99 < BEST.gateway;
    return { ...row, holds };
  });
  const first = rows.findIndex(({ holds }) => !holds);
  const knee = (first < 0 ? rows : rows.slice(0, first)).at(-1)?.rate ?? 0;
  const cells = (row) => [
    row.rate, row.accepted.toFixed(0), [row.p50, row.p95, row.p99].map((ms) => ms.toFixed(1)).join(', '),
    [row.gateway50, row.gateway95, row.gateway99].join(', '), row.holds ? 'yes' : 'no',
  ];
  const told = [
    `\nThe knee: **${knee} a second** are accepted (p99 below ${BEST.accept} ms) and at the gateway (p99 below ${BEST.gateway} ms) in time.\n`,
    '| offered/s | accepted/s | accept: p50, p95, p99 in ms | accept to gateway: p50, p95, p99 in ms | in time |', '| --- | --- | --- | --- | --- |',
    ...rows.map((row) => `| ${cells(row).join(' | ')} |`), '',
  ];
  return summary(data, { knee, told: told.join('\n') });
}
