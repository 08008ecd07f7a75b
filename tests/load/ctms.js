// The second service before three instances of the first: one killed, all hanging.
import exec from 'k6/execution';
import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter, Gauge } from 'k6/metrics';
import { QUICK, act, arrivals, base, metric, once, seconds } from './lib.js';

export { handleSummary } from './lib.js';
const TIME = seconds(60);
const felt = new Counter('answers_not_live_when_one_is_killed');
const [opens, closes, off, again] = ['breaker_opens_after_s', 'breaker_closes_after_s', 'off_the_killed_after_s', 'back_on_it_after_s'].map((name) => new Gauge(name));
http.setResponseCallback(http.expectedStatuses(200, 503));
export const options = {
  ...base,
  scenarios: {
    live: arrivals(200, 0, TIME, 'live'), killed: once(TIME / 2, 'killed'), cached: arrivals(100, TIME + 3, TIME, 'cached'), hang: once(TIME + 5, 'hang'),
  },
  thresholds: {
    'http_req_duration{phase:live}': ['p(99)<100'], answers_not_live_when_one_is_killed: ['count<=8'], off_the_killed_after_s: ['value<1'], back_on_it_after_s: ['value<2'],
    breaker_opens_after_s: ['value<1'], breaker_closes_after_s: ['value<2'], 'checks{all:answered}': ['rate==1'],
    'http_req_duration{phase:waiting}': ['p(99)>=0'], 'http_req_duration{phase:cached}': [QUICK ? 'p(50)<100' : 'p(99)<5'],
  },
};

const ask = (phase) => http.get(`http://${__ENV.HTTP}/api/v1/patients/p-${Math.floor(Math.random() * 20)}/latest-report`, { responseType: 'text', tags: { phase } });
export function live() {
  const answer = ask('live');
  felt.add(answer.status !== 200 || answer.json('stale') === true);
}
/** They hang after 2 s. Who asks before the breaker opens waits. */
export function cached() {
  const second = (Date.now() - exec.scenario.startTime) / 1000;
  const phase = second < 4 ? 'waiting' : second < 2 + TIME / 4 ? 'cached' : 'after';
  check(ask(phase), { 'live or from the cache': ({ status }) => status === 200 }, { all: 'answered' });
}

/** Seconds until it holds. */
function until(holds) {
  const begun = Date.now();
  while (!holds() && Date.now() - begun < 20000) sleep(0.05);
  return (Date.now() - begun) / 1000;
}
const up = () => metric('rpc_client_endpoints', 'state="up"');

export function killed() {
  act('instance/kill');
  off.add(until(() => up() === 2));
  sleep(TIME / 10);
  act('instance/start');
  again.add(until(() => up() === 3));
}

export function hang() {
  const state = () => metric('circuit_breaker_state');
  act('instances/stop');
  opens.add(until(() => state() === 2));
  sleep(TIME / 4);
  act('instances/continue');
  closes.add(until(() => state() === 0));
}
