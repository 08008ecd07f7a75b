// The collector is down for a while and comes back: callers notice nothing, and every span is accounted for.
import { act, arrivals, base, enrol, once, remind, seconds, settle, settled } from './lib.js';

export { handleSummary } from './lib.js';
const TIME = seconds(60);
export const setup = enrol;
export const teardown = () => settle();
export const options = {
  ...base,
  scenarios: {
    up: arrivals(300, 0, TIME, 'up'), leave: once(TIME, 'leave'), down: arrivals(300, TIME + 1, TIME - 1, 'down'),
    come: once(2 * TIME, 'come'), back: arrivals(300, 2 * TIME + 1, TIME, 'back'),
  },
  thresholds: {
    ...settled, checks: ['rate==1'],
    ...Object.fromEntries(['up', 'down', 'back'].map((phase) => [`http_req_duration{phase:${phase}}`, ['p(99)<100']])),
  },
};
export const up = () => remind('up');
export const down = () => remind('down');
export const back = () => remind('back');
export const leave = () => act('collector/leave');
export const come = () => act('collector/come');
