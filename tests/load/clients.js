// A million clients behind a trusted proxy: the memory that they take, and that it is given back.
// with APP_LIMITS__PER_CLIENT__RATE=1
// with APP_LIMITS__PER_CLIENT__BURST=1
// with APP_LIMITS__CLEANUP_INTERVAL=1s
import http from 'k6/http';
import { check, sleep } from 'k6';
import exec from 'k6/execution';
import { Gauge, Trend } from 'k6/metrics';
import { API, QUICK, base, megabytes, metric } from './lib.js';

export { handleSummary } from './lib.js';
const CLIENTS = QUICK ? 20000 : 1000000;
const [taken, kept] = [new Trend('memory_taken_mb'), new Gauge('memory_kept_mb')];
const remembered = new Trend('clients_remembered');
http.setResponseCallback(http.expectedStatuses(200, 404));
export const options = {
  ...base,
  scenarios: {
    clients: { executor: 'shared-iterations', vus: 32, iterations: CLIENTS, maxDuration: '20m', exec: 'client' },
    watch: { executor: 'constant-vus', vus: 1, duration: QUICK ? '5s' : '3m', exec: 'watch', gracefulStop: '1s' },
  },
  thresholds: { checks: ['rate==1'], memory_taken_mb: ['max<64'], memory_kept_mb: ['value<16'], clients_remembered: ['max>0'] },
};

export const setup = () => ({ before: megabytes() });

/** A /64 of its own for each. */
export function client() {
  const number = exec.scenario.iterationInTest;
  const address = `2001:db8:${(number >> 16).toString(16)}:${(number & 0xffff).toString(16)}::1`;
  const answer = http.get(`${API}/notifications/0000000000000`, { headers: { 'x-forwarded-for': address } });
  check(answer, { 'each is a client of its own': ({ status }) => status === 404 });
}

export function watch({ before }) {
  taken.add(megabytes() - before);
  remembered.add(metric('rate_limit_clients'));
  sleep(0.5);
}

export function teardown({ before }) {
  for (let second = 0; second < 120 && metric('rate_limit_clients') > 0; second += 1) sleep(1);
  sleep(2);
  kept.add(megabytes() - before);
}
