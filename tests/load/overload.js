// Three times what the machine can do: a report and a bulk notification to four previews. What is shed, in which order, what the reports
// notice of it, and how it comes back. They are slow here from 10 ms on, where the default is 100.
// with APP_DEGRADATION__LATENCY=10ms
import http from 'k6/http';
import { check, sleep } from 'k6';
import { Gauge, Trend } from 'k6/metrics';
import { API, PROBE, arrivals, base, enrol, histogram, metric, once, pin, post, quantile, seconds } from './lib.js';

export { handleSummary } from './lib.js';
const TIME = seconds(60);
const RATE = Number(__ENV.FOUND);
const [level, back] = [new Trend('degradation_level'), new Gauge('back_after_s')];
// By the service's own clock: k6 takes half of the processors and waits for them itself.
const [alone_ms, overload_ms, ratio] = ['report_p99_alone_ms', 'report_p99_overload_ms', 'report_p99_overload_to_alone'].map((name) => new Gauge(name));
const [previews, bulks] = [new Gauge('previews_shed'), new Gauge('bulk_shed')];
const TEXT = '今天早上体温38.5度，头痛（轻度）。Took 500 mg paracetamol at 07:10, and slept until noon. '.repeat(12);
const probe = { executor: 'constant-vus', vus: 32, duration: `${seconds(30)}s`, exec: 'mix' };
export const options = {
  ...base,
  scenarios: PROBE ? { probe } : {
    alone: arrivals(Math.ceil(RATE / 2), 0, TIME / 2, 'alone'),
    reports: arrivals(Math.ceil(RATE / 2), TIME / 2, TIME, 'reports'), previews: arrivals(Math.ceil(2 * RATE), TIME / 2, TIME, 'preview'),
    bulk: arrivals(Math.ceil(RATE / 2), TIME / 2, TIME, 'bulk'), watch: once(TIME / 2, 'watch'),
  },
  thresholds: PROBE ? {} : {
    'checks{what:report}': ['rate==1'], 'checks{what:shed}': ['rate==1'], 'http_req_duration{phase:alone}': ['p(99)<100'],
    'http_req_duration{phase:reports}': ['p(99)>=0'], degradation_level: ['max>=1'],
    report_p99_alone_ms: ['value>=0'], report_p99_overload_ms: ['value>=0'], report_p99_overload_to_alone: ['value<4'], previews_shed: ['value>0'], bulk_shed: ['value>=0'], back_after_s: ['value<60'],
  },
};

export function setup() {
  enrol();
  pin(PROBE ? 0 : 'auto');
  return http.post(`${API}/reports`, JSON.stringify({ patientId: 'p-1', content: TEXT }), { headers: { 'content-type': 'application/json' }, responseType: 'text' }).json('reportId');
}

function report(phase) {
  check(post('/reports', { patientId: 'p-1', content: TEXT }, { phase }), { kept: ({ status }) => status === 201 }, { what: 'report' });
}
export const alone = () => report('alone');
export const reports = () => report('reports');
const shed = (answer, good) => check(answer, { 'done, or 503 with Retry-After': ({ status, headers }) => status === good || (status === 503 && Number(headers['Retry-After']) >= 1) }, { what: 'shed' });
export const preview = (id) => shed(http.get(`${API}/reports/${id}/preview.pdf`, { tags: { phase: 'previews' } }), 200);
export const bulk = () => shed(post('/notifications/sms/async', { patientId: 'p-1', message: 'week 3', priority: 'bulk' }, { phase: 'bulk' }), 202);

/** An iteration is six calls. */
export function mix(id) {
  report('probe');
  bulk();
  for (let turn = 0; turn < 4; turn += 1) preview(id);
}

export function watch() {
  const taken = () => histogram('http_request_duration_seconds', 'method="POST"', 'route="/api/v1/reports"');
  const before = taken();
  for (let turn = 0; turn < 2 * TIME; turn += 1) {
    level.add(metric('degradation_level'));
    sleep(0.5);
  }
  const [alone, overload] = [1000 * quantile(0.99, before), 1000 * quantile(0.99, taken(), before)];
  alone_ms.add(alone);
  overload_ms.add(overload);
  ratio.add(overload / alone);
}

export function teardown(id) {
  if (PROBE) return;
  const begun = Date.now();
  const drawn = () => http.get(`${API}/reports/${id}/preview.pdf`).status === 200 && metric('degradation_level') === 0;
  while (!drawn() && Date.now() - begun < 60000) sleep(0.5);
  back.add((Date.now() - begun) / 1000);
  previews.add(metric('load_shed_total', 'feature="report_preview"'));
  bulks.add(metric('load_shed_total', 'feature="bulk_notifications"'));
}
