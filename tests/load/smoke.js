// Does it work at all: every kind of call for some seconds. Judges no time, so that it runs anywhere.
import http from 'k6/http';
import { check } from 'k6';
import { API, arrivals, base, enrol, pin, post, remind, settle, settled } from './lib.js';

export { handleSummary } from './lib.js';
export function setup() {
  enrol();
  // On a busy machine reads would be shed.
  pin(0);
}
export const teardown = () => settle();
export const options = {
  ...base,
  scenarios: { all: arrivals(10, 0, 5, 'all') },
  thresholds: { checks: ['rate==1'], http_req_failed: ['rate==0'], 'checks{phase:smoke}': ['rate==1'], ...settled },
};

export function all() {
  const has = (answer, status) => check(answer, { [`${answer.request.method} ${status}`]: () => answer.status === status });
  const read = { responseType: 'text' };
  const sent = http.post(`${API}/notifications/push/async`, JSON.stringify({ patientId: 'p-1', title: 'Diary', message: 'Please.' }),
    { headers: { 'content-type': 'application/json' }, ...read });
  has(sent, 202);
  has(http.get(`${API}/notifications/${sent.json('id')}`), 200);
  has(post('/notifications/sms', { patientId: 'p-1', message: 'Now.' }), 200);
  has(post('/reports', { patientId: 'p-1', content: 'Slept until noon.' }), 201);
  has(http.get(`${API}/patients/p-1/reports/latest`), 200);
  remind('smoke');
}
