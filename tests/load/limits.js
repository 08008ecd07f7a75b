// The rate limit: the configured rate and burst are found within 2 %, its headers are true, and others do not notice.
// with APP_LIMITS__PER_CLIENT__RATE=50
// with APP_LIMITS__PER_CLIENT__BURST=100
import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter, Gauge } from 'k6/metrics';
import { API, arrivals, base, once, seconds } from './lib.js';

export { handleSummary } from './lib.js';
// As above.
const [RATE, BURST] = [50, 100];
const TIME = seconds(100);
const counted = new Gauge('burst_error_percent');
const measured = new Gauge('rate_error_percent');
const refused = new Counter('refused_of_an_even_client');
http.setResponseCallback(http.expectedStatuses(404, 429));

export const options = {
  ...base, batch: 300, batchPerHost: 300,
  scenarios: {
    burst: once(1, 'burst'), rate: once(3, 'rate'),
    // 90 % of the rate, while the others are refused.
    even: arrivals(45, 0, TIME + 5, 'even'),
    patient: { executor: 'per-vu-iterations', vus: 5, iterations: 3, exec: 'patient', maxDuration: '2m' },
  },
  thresholds: {
    burst_error_percent: ['value<2'], rate_error_percent: ['value<2'], checks: ['rate==1'], http_req_failed: ['rate==0'],
    refused_of_an_even_client: ['count==0'], 'http_req_duration{client:even}': ['p(99)<50'],
  },
};

/** The address that the trusted proxy names. Nothing is at this path: all that it costs is being let in. */
function ask(client) {
  const answer = http.get(...request(client));
  truthful(answer);
  return answer;
}
const request = (client) => [`${API}/notifications/0000000000000`, { headers: { 'x-forwarded-for': client }, tags: { client: client.startsWith('10.0.0.3') ? 'even' : 'greedy' } }];

function truthful({ status, headers }) {
  const number = (name) => Number(headers[name] ?? NaN);
  const [limit, left] = [number('X-Ratelimit-Limit'), number('X-Ratelimit-Remaining')];
  check(null, {
    'x-ratelimit-limit is the burst': () => limit === BURST,
    'x-ratelimit-remaining is below it': () => left >= 0 && left < BURST && (status !== 429 || left === 0),
    'Retry-After is whole seconds': () => status !== 429 || Number.isInteger(number('Retry-After')) && number('Retry-After') >= 1,
  });
}

export function burst() {
  const begun = Date.now();
  const answers = http.batch(Array(BURST * 3).fill().map(() => ['GET', request('10.0.0.1')[0], null, request('10.0.0.1')[1]]));
  answers.forEach(truthful);
  const let_in = answers.filter(({ status }) => status !== 429).length;
  // What the rate let in meanwhile is none of the burst: it may be anything up to this.
  const most = (RATE * (Date.now() - begun)) / 1000;
  const off = let_in < BURST ? BURST - let_in : Math.max(0, let_in - BURST - most);
  counted.add((100 * off) / BURST);
}

export function rate() {
  // Empties the bucket first; from there on only the rate counts.
  while (ask('10.0.0.2').status !== 429);
  const begun = Date.now();
  let let_in = 0;
  while (Date.now() - begun < TIME * 1000) let_in += ask('10.0.0.2').status !== 429;
  const expected = (RATE * (Date.now() - begun)) / 1000;
  measured.add((100 * Math.abs(let_in - expected)) / expected);
}

export function even() {
  refused.add(ask('10.0.0.3').status === 429);
}

/** Waits as long as it is told, and is let in. */
export function patient() {
  const client = `10.0.1.${__VU % 250}`;
  let answer;
  do answer = ask(client); while (answer.status !== 429);
  sleep(Number(answer.headers['Retry-After']));
  check(ask(client), { 'let in after Retry-After': ({ status }) => status !== 429 });
}
