// SMS beside a push gateway that takes 8 s, with all workers of its channel busy.
// with APP_PUSH__HTTP__TIMEOUT=30s
// with APP_QUEUE__WORKERS=32
import { Gauge } from 'k6/metrics';
import { GATEWAY, PUSH_GATEWAY, arrivals, base, behave, enrol, metric, once, post, remind, seconds, settle, toGateway } from './lib.js';

export { handleSummary } from './lib.js';
const TIME = seconds(30);
const [change, busy] = [new Gauge('sms_p99_change_ms'), new Gauge('push_workers_idle')];
export const options = {
  ...base,
  scenarios: { alone: arrivals(50, 0, TIME, 'alone'), fill: once(TIME, 'fill'), beside: arrivals(50, TIME + 3, TIME, 'beside'), look: once(2 * TIME + 3, 'look') },
  thresholds: {
    checks: ['rate==1'], ...toGateway('alone', 'value<1000'), ...toGateway('beside', 'value<1000'),
    sms_p99_change_ms: ['value<100'], push_workers_idle: ['value==0'],
  },
};

export function setup() {
  enrol();
  behave(GATEWAY, { latency: '50ms' });
  behave(PUSH_GATEWAY, { latency: '8s' });
}
export const alone = () => remind('alone');
export const beside = () => remind('beside');

export function fill() {
  for (let number = 0; number < 500; number += 1) {
    post('/notifications/push/async', { patientId: 'p-1', title: 'Diary', message: 'Please fill in your diary.' });
  }
}
export const look = () => busy.add(metric('workers', 'channel="push"') - metric('workers_busy', 'channel="push"'));

export function teardown() {
  const p99 = settle(5);
  change.add(Math.abs(p99.beside - p99.alone));
}
