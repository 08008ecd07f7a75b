// What the scenarios share. Addresses, rates and times come from the driver (main.rs), which starts everything.
import exec from 'k6/execution';
import http from 'k6/http';
import { check, sleep } from 'k6';
import { Gauge } from 'k6/metrics';

export const QUICK = __ENV.QUICK === 'true';
export const API = `http://${__ENV.HTTP}/api/v1`;
export const GATEWAY = `http://${__ENV.GATEWAY}`;
export const PUSH_GATEWAY = `http://${__ENV.PUSH_GATEWAY}`;
const JSON_HEADERS = { 'content-type': 'application/json' };

/** Seconds of a part: a tenth of them in a quick run, but at least 5. */
export const seconds = (full) => (QUICK ? Math.max(5, Math.round(full / 10)) : full);
/** Requests a second that the machine is known to serve: what `capacity` found, or --rate. */
export const KNEE = Number(__ENV.RATE);
/** Whether the driver only wants to know how many iterations a second there can be. */
export const PROBE = __ENV.PROBE === 'true';

export const base = {
  discardResponseBodies: true,
  noConnectionReuse: false,
  setupTimeout: '10m',
  teardownTimeout: '15m',
  summaryTrendStats: ['p(50)', 'p(95)', 'p(99)', 'max', 'count'],
};

/** An open model: requests begin when they are due, whatever became of those before. */
export const arrivals = (rate, start, duration, exec, more = {}) => ({
  executor: 'constant-arrival-rate', rate, timeUnit: '1s', startTime: `${start}s`, duration: `${duration}s`,
  preAllocatedVUs: Math.max(10, Math.min(300, Math.ceil(rate / 5))), maxVUs: 1500, exec, gracefulStop: '30s', ...more,
});

/** Runs a function once, so long after the begin. */
export const once = (start, exec) => ({ executor: 'per-vu-iterations', vus: 1, iterations: 1, startTime: `${start}s`, exec, maxDuration: '45m' });

export const post = (path, body, tags = {}, headers = {}) =>
  http.post(`${API}${path}`, JSON.stringify(body), { headers: { ...JSON_HEADERS, ...headers }, tags });

/** A reminder. The gateway reads in its text when it was sent, and in which phase: its latency is counted under it. */
export function remind(phase, more = {}) {
  const body = { patientId: 'p-1', message: `@${Date.now()} ${phase} Please fill in your diary.`, ...more };
  const answer = post('/notifications/sms/async', body, { call: 'accept', phase });
  check(answer, { accepted: ({ status }) => status === 202 }, { phase });
  return answer;
}

/** The contact of the patient to whom reminders go. */
export function enrol() {
  const contact = { phone: '+4930901820', pushTokens: [{ platform: 'fcm', token: 'one' }] };
  const answer = http.put(`${API}/patients/p-1`, JSON.stringify(contact), { headers: JSON_HEADERS });
  if (answer.status >= 300) throw new Error(`no contact: ${answer.status}`);
}

/** Asks the driver to do something to the processes, such as `gateway/leave`. */
export function act(what) {
  const answer = http.post(`http://${__ENV.DRIVER}/${what}`, null, { timeout: '5m' });
  if (answer.status !== 204) exec.test.abort(`${what}: ${answer.status}`);
}

export const behave = (gateway, behaviour) => http.put(`${gateway}/control`, JSON.stringify(behaviour));

/** Pins the level of degradation, or gives it back with `auto`. */
export const pin = (level) => http.put(`http://${__ENV.ADMIN}/degradation`, JSON.stringify({ level }));

const page = (admin = __ENV.ADMIN) => http.get(`http://${admin}/metrics`, { responseType: 'text' }).body;

/** The sum of a metric's series that have all these labels, as `state="queued"`. */
export function metric(name, ...labels) {
  const lines = page().split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.filter((line) => labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

/** A histogram's cumulative counts by the upper bounds of its buckets. */
export function histogram(name, ...labels) {
  const lines = page().split('\n').filter((line) => line.startsWith(`${name}_bucket{`) && labels.every((label) => line.includes(label)));
  return lines.reduce((counts, line) => {
    const [bound, count] = [Number(/le="(.*?)"/.exec(line)[1].replace('+Inf', 'Infinity')), Number(/} ([0-9.e+]+)/.exec(line)[1])];
    return counts.set(bound, (counts.get(bound) ?? 0) + count);
  }, new Map());
}

/** As PromQL's `histogram_quantile`, of what was counted since `before`. */
export function quantile(share, now, before = new Map()) {
  const counts = [...now].sort(([a], [b]) => a - b).map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]);
  const rank = share * counts.at(-1)[1];
  const at = counts.findIndex(([, count]) => count >= rank);
  const [low, below] = at > 0 ? counts[at - 1] : [0, 0];
  const [high, count] = counts[at];
  return high === Infinity ? low : low + ((high - low) * (rank - below)) / Math.max(1, count - below);
}

export const megabytes = () => metric('process_resident_memory_bytes') / 1e6;

const gauges = {
  left: new Gauge('jobs_left_in_the_queue'), lost: new Gauge('jobs_missing_in_the_ledger'),
  undelivered: new Gauge('jobs_not_delivered'), missing: new Gauge('delivered_but_unknown_to_the_gateway'),
  spans: new Gauge('spans_without_account'), dropped: new Gauge('lines_dropped'), drained: new Gauge('drained_after_s'),
  p50: new Gauge('to_gateway_p50_ms'), p95: new Gauge('to_gateway_p95_ms'), p99: new Gauge('to_gateway_p99_ms'),
};
/** What holds after every scenario that delivers. */
export const settled = {
  jobs_left_in_the_queue: ['value==0'], jobs_missing_in_the_ledger: ['value==0'], jobs_not_delivered: ['value==0'],
  delivered_but_unknown_to_the_gateway: ['value<=0'], spans_without_account: ['value==0'], lines_dropped: ['value==0'],
};

/** Thresholds of the latency from the call to the gateway in one phase. */
export const toGateway = (phase, p99) => ({
  [`to_gateway_p50_ms{phase:${phase}}`]: ['value>=0'], [`to_gateway_p95_ms{phase:${phase}}`]: ['value>=0'],
  [`to_gateway_p99_ms{phase:${phase}}`]: [p99],
});

/** Waits until the queue is empty, compares the accounts, and returns the gateway's p99 by phase. */
export function settle(within = 120) {
  const ledger = (state) => metric('notification_ledger_jobs', `state="${state}"`);
  const begun = Date.now();
  // The gauges are counted twice a second.
  do sleep(1); while (ledger('queued') > 0 && Date.now() - begun < within * 1000);
  gauges.drained.add((Date.now() - begun) / 1000);
  gauges.left.add(ledger('queued'));
  const [accepted, delivered] = [ledger('accepted'), ledger('delivered')];
  const others = ['dead', 'expired', 'cancelled', 'unknown', 'queued'].map(ledger).reduce((sum, jobs) => sum + jobs, delivered);
  gauges.lost.add(accepted - others);
  gauges.undelivered.add(accepted - delivered);
  const spans = (outcome) => metric('telemetry_spans_total', `outcome="${outcome}"`);
  const known = ['exported', 'failed', 'dropped'].map(spans).reduce((sum, count) => sum + count, metric('telemetry_spans_queued'));
  // Between two looks a span may end.
  gauges.spans.add(Math.abs(metric('telemetry_spans_ended_total') - known) > 5 ? 1 : 0);
  gauges.dropped.add(metric('telemetry_log_lines_total', 'outcome="dropped"'));
  const stats = arrived();
  const pushed = http.get(`${PUSH_GATEWAY}/stats`, { responseType: 'text' }).json('delivered');
  gauges.missing.add(delivered - stats.delivered - pushed);
  return Object.fromEntries(Object.entries(stats.latencyMs).map(([phase, { p99 }]) => [phase, p99]));
}

/** Notes the latencies that the gateway saw, and returns what it counted. */
export function arrived() {
  const stats = http.get(`${GATEWAY}/stats`, { responseType: 'text' }).json();
  for (const [phase, latency] of Object.entries(stats.latencyMs)) {
    ['p50', 'p95', 'p99'].forEach((name) => gauges[name].add(latency[name], { phase }));
  }
  return stats;
}

/** The driver reads this: figures, thresholds, and what a scenario adds. */
export function summary(data, more = {}) {
  const failed = data.root_group.checks.filter(({ fails }) => fails > 0).map(({ name, fails, passes }) => `\n- ${fails} of ${fails + passes} failed: ${name}`);
  return { [__ENV.OUT]: JSON.stringify({ metrics: data.metrics, ...more, told: `${failed.join('')}\n${more.told ?? ''}` }) };
}
export const handleSummary = (data) => summary(data);
