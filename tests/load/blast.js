// A message to a whole study, urgent reminders meanwhile, and SIGKILL in the middle of it.
// with APP_QUEUE__WORKERS=32
import exec from 'k6/execution';
import http from 'k6/http';
import { sleep } from 'k6';
import { Gauge, Trend } from 'k6/metrics';
import { API, GATEWAY, QUICK, act, arrivals, base, enrol, once, post, remind, seconds, settle, settled, toGateway } from './lib.js';

export { handleSummary } from './lib.js';
const PATIENTS = QUICK ? 2000 : 90000;
const TIME = seconds(30);
const [ratio, twice] = [new Gauge('urgent_p99_meanwhile_to_idle'), new Gauge('messages_that_came_twice')];
const study = new Trend('study_accept_ms');

export const options = {
  ...base, batch: 64, batchPerHost: 64,
  scenarios: {
    idle: arrivals(50, 0, TIME, 'idle'), send: once(TIME + 2, 'send'), meanwhile: arrivals(50, TIME + 3, TIME, 'meanwhile'),
    kill: once(2 * TIME + 5, 'kill'),
  },
  thresholds: {
    ...settled, ...toGateway('idle', 'value<1000'), ...toGateway('meanwhile', 'value<2000'), checks: ['rate==1'],
    study_accept_ms: ['max<2000'], urgent_p99_meanwhile_to_idle: ['value<2'],
    // As many attempts as there are workers may be cut off.
    messages_that_came_twice: ['value<=32'],
  },
};

export function setup() {
  enrol();
  const headers = { 'content-type': 'application/json' };
  for (let first = 0; first < PATIENTS; first += 1000) {
    const numbers = [...Array(Math.min(1000, PATIENTS - first)).keys()].map((number) => first + number);
    const put = (path, body) => http.batch(numbers.map((number) => ['PUT', `${API}${path(number)}`, body(number), { headers }]));
    put((number) => `/patients/b-${number}`, (number) => JSON.stringify({ phone: `+4930${2000000 + number}` }));
    const enrolled = put((number) => `/studies/s-1/patients/b-${number}`, () => null);
    if (enrolled.some(({ status }) => status >= 300)) throw new Error('not all are enrolled');
  }
}

const urgent = (phase) => remind(phase, { priority: 'urgent' });
export const idle = () => urgent('idle');
export const meanwhile = () => urgent('meanwhile');

export function send() {
  const answer = post('/studies/s-1/notifications', { channel: 'sms', message: "Please fill in today's questionnaire." });
  if (answer.status !== 202) exec.test.abort(`the study was refused: ${answer.status}`);
  study.add(answer.timings.duration);
}

export function kill() {
  act('service/kill');
  sleep(1);
  act('service/start');
}

export function teardown() {
  const p99 = settle(900);
  ratio.add(p99.meanwhile / p99.idle);
  twice.add(http.get(`${GATEWAY}/stats`, { responseType: 'text' }).json('deliveredTwice'));
}
