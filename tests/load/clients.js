// A million clients behind a trusted proxy: the memory that they take, and that it is given back.
// with APP_LIMITS__PER_CLIENT__RATE=1
// with APP_LIMITS__PER_CLIENT__BURST=1
// with APP_LIMITS__CLEANUP_INTERVAL=3m
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
  ...base, batch: 64, batchPerHost: 64,
  scenarios: {
    clients: { executor: 'shared-iterations', vus: 32, iterations: CLIENTS, maxDuration: '20m', exec: 'client' },
    watch: { executor: 'constant-vus', vus: 1, duration: QUICK ? '5s' : '3m', exec: 'watch', gracefulStop: '1s' },
  },
  thresholds: { checks: ['rate==1'], memory_taken_mb: ['max<256'], memory_kept_mb: ['value<16'], clients_remembered: [`max>=${CLIENTS}`] },
};

/** A /64 of its own for each. */
const call = (net, number) => ['GET', `${API}/notifications/0000000000000`, null, {
  headers: { 'x-forwarded-for': `2001:${net}:${(number >> 16).toString(16)}:${(number & 0xffff).toString(16)}::1` },
}];

/** Some calls to warm up, so that what the service takes for its work is not taken for the clients'. */
export function setup() {
  for (let first = 0; first < 20000; first += 500) http.batch([...Array(500).keys()].map((number) => call('db9', first + number)));
  return { before: megabytes() };
}

export function client() {
  const answer = http.request(...call('db8', exec.scenario.iterationInTest));
  check(answer, { 'each is a client of its own': ({ status }) => status === 404 });
}

export function watch({ before }) {
  taken.add(megabytes() - before);
  remembered.add(metric('rate_limit_clients'));
  sleep(0.5);
}

export function teardown({ before }) {
  for (let second = 0; second < 300 && metric('rate_limit_clients') > 0; second += 1) sleep(1);
  sleep(2);
  kept.add(megabytes() - before);
}
