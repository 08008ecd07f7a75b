// Ten thousand connections that trickle their headers, beside a client that does not.
import { sleep } from 'k6';
import { Gauge, Trend } from 'k6/metrics';
import { QUICK, act, arrivals, base, enrol, metric, once, remind } from './lib.js';

export { handleSummary } from './lib.js';
const SLOW = QUICK ? 500 : 10000;
const [open, cut] = [new Trend('slow_connections_open'), new Gauge('slow_connections_cut_off')];
export const setup = enrol;
export const options = {
  ...base,
  scenarios: { alone: arrivals(50, 0, 5, 'alone'), slow: once(5, 'slow'), beside: arrivals(50, 7, 8, 'beside'), look: once(5, 'look') },
  thresholds: {
    checks: ['rate==1'], 'http_req_duration{phase:alone}': ['p(99)<100'], 'http_req_duration{phase:beside}': ['p(99)<100'],
    slow_connections_open: [`max>${0.9 * SLOW}`], slow_connections_cut_off: [`value>=${SLOW}`],
  },
};
export const alone = () => remind('alone');
export const beside = () => remind('beside');
export const slow = () => act(`slow/${SLOW}`);
export function look() {
  for (let turn = 0; turn < 20; turn += 1) {
    open.add(metric('http_connections', 'listener="http"'));
    sleep(0.5);
  }
}

export function teardown() {
  const count = () => metric('http_connections_timed_out_total');
  for (let second = 0; second < 30 && count() < SLOW; second += 1) sleep(1);
  cut.add(count());
}
