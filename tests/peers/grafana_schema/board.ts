// What a dashboard file may hold, put together from Grafana's own types: the dashboard, and for each kind
// of panel that is used its options and its field configuration.

import type { AnnotationQuery, Dashboard, DataQuery, Panel as AnyPanel, RowPanel } from '@grafana/schema';
import type * as BarGauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen.js';
import type * as Stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.js';
import type * as Table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen.js';
import type * as TimeSeries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.js';

/** A type as JSON has it: the names of an enumeration are their texts. */
type Plain<T> = 0 extends 1 & T
  ? T
  : T extends string
    ? `${T}`
    : T extends number | boolean | null | undefined
      ? T
      : T extends ReadonlyArray<infer Item>
        ? Array<Plain<Item>>
        : T extends object
          ? { [Key in keyof T]: Plain<T[Key]> }
          : T;

/** A panel of one kind. Grafana fills in the options that are left out. */
type Panel<Kind extends string, Options, Custom> = Omit<AnyPanel, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Kind;
  options: Partial<Options>;
  fieldConfig: {
    defaults: Omit<NonNullable<AnyPanel['fieldConfig']>['defaults'], 'custom'> & { custom?: Partial<Custom> };
    overrides: NonNullable<AnyPanel['fieldConfig']>['overrides'];
  };
  targets: PrometheusQuery[];
};

/** What Grafana's Prometheus plugin adds: its types are in a package of its own. */
interface PrometheusQuery extends DataQuery {
  datasource: { type: 'prometheus'; uid: string };
  expr: string;
  legendFormat: string;
  instant: boolean;
  range: boolean;
  exemplar: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
  interval?: string;
  editorMode?: 'code' | 'builder';
}

/** As above. */
interface PrometheusAnnotation extends AnnotationQuery {
  expr: string;
  step?: string;
  titleFormat?: string;
  textFormat?: string;
  useValueForTime?: boolean;
}

type AllPanels =
  | RowPanel
  | Panel<'timeseries', TimeSeries.Options, TimeSeries.FieldConfig>
  | Panel<'stat', Stat.Options, object>
  | Panel<'bargauge', BarGauge.Options, object>
  | Panel<'table', Table.Options, Table.FieldConfig>;

export type Board = Plain<
  Omit<Dashboard, 'panels' | 'annotations'> & {
    panels: AllPanels[];
    annotations: { list: PrometheusAnnotation[] };
  }
>;
