// Half an hour at 70 % of capacity: nothing grows, slows down or gets lost.
import { sleep } from 'k6';
import { Gauge } from 'k6/metrics';
import { KNEE, arrivals, base, enrol, megabytes, once, remind, seconds, settle, settled, toGateway } from './lib.js';

export { handleSummary } from './lib.js';
const TIME = seconds(1800);
const growth = new Gauge('memory_growth_mb');
export const setup = enrol;
export const teardown = () => settle(600);
export const options = {
  ...base,
  scenarios: { load: arrivals(Math.ceil(0.7 * KNEE), 0, TIME, 'load', { preAllocatedVUs: 1000 }), watch: once(TIME / 5, 'watch') },
  thresholds: {
    ...settled, ...toGateway('soak', 'value<1000'), checks: ['rate==1'], 'http_req_duration{call:accept}': ['p(99)<100'],
    dropped_iterations: ['count==0'], memory_growth_mb: ['value<50'],
  },
};
export const load = () => remind('soak');

/** From a fifth of the time to its end. */
export function watch() {
  const before = megabytes();
  sleep(0.75 * TIME);
  growth.add(megabytes() - before);
}
