// Three times capacity out of nothing, and back: refused is what cannot be served, and soon all is as before.
import { check } from 'k6';
import { KNEE, arrivals, base, enrol, post, seconds, settle, settled, toGateway } from './lib.js';

export { handleSummary } from './lib.js';
const TIME = seconds(60);
const calm = Math.ceil(0.3 * KNEE);
export const setup = enrol;
export const teardown = () => settle(600);
export const options = {
  ...base,
  scenarios: {
    before: arrivals(calm, 0, TIME, 'before'), spike: arrivals(3 * KNEE, TIME, TIME, 'spike'),
    // Once what waits is delivered: ten seconds after the spike, new reminders are in time again.
    after: arrivals(calm, 2 * TIME + 10, TIME, 'after'),
  },
  thresholds: {
    ...settled, ...toGateway('before', 'value<1000'), ...toGateway('spike', 'value>=0'), ...toGateway('after', 'value<5000'),
    'checks{what:answer}': ['rate==1'], 'http_req_duration{phase:before}': ['p(99)<100'], 'http_req_duration{phase:spike}': ['p(99)>=0'],
    'http_req_duration{phase:after}': ['p(99)<100'], 'checks{phase:after}': ['rate==1'],
  },
};

function load(phase) {
  const answer = post('/notifications/sms/async', { patientId: 'p-1', message: `@${Date.now()} ${phase} Please.` }, { phase });
  check(answer, { '202, or 503 with Retry-After': ({ status, headers }) => status === 202 || (status === 503 && Number(headers['Retry-After']) >= 1) }, { what: 'answer' });
  check(answer, { accepted: ({ status }) => status === 202 }, { phase });
}
export const before = () => load('before');
export const spike = () => load('spike');
export const after = () => load('after');
