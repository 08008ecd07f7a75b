// The gateway is down for a minute and comes back: accepting does not notice, and everything is delivered.
// The simulator forgets its ledger when it restarts, so `delivered_but_unknown_to_the_gateway` is not judged here.
import { act, arrivals, arrived, base, enrol, once, remind, seconds, settle, settled, toGateway } from './lib.js';
import { sleep } from 'k6';

export { handleSummary } from './lib.js';
const [BEFORE, DOWN, BACK, AFTER] = [seconds(60), seconds(60), 45, seconds(60)];
export const setup = enrol;
export const teardown = () => settle(300);
export const options = {
  ...base,
  scenarios: {
    // What was sent before has arrived when the gateway leaves.
    before: arrivals(200, 0, BEFORE, 'before'), outage: once(BEFORE + 2, 'outage'),
    down: arrivals(200, BEFORE + 3, DOWN + BACK - 3, 'down'), after: arrivals(200, BEFORE + DOWN + BACK, AFTER, 'after'),
  },
  thresholds: {
    ...settled, delivered_but_unknown_to_the_gateway: ['value>=0'], ...toGateway('before', 'value<1000'), ...toGateway('down', 'value>=0'), ...toGateway('after', 'value<1000'),
    checks: ['rate==1'], 'http_req_duration{phase:before}': ['p(99)<100'], 'http_req_duration{phase:down}': ['p(99)<100'],
    'http_req_duration{phase:after}': ['p(99)<100'],
  },
};
export const before = () => remind('before');
export const down = () => remind('down');
export const after = () => remind('after');

export function outage() {
  arrived();
  act('gateway/leave');
  sleep(DOWN);
  act('gateway/come');
}
