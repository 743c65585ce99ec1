/** Serves the tracking widget. */

import { CompactPanel, JourneyStep, TimelinePanel } from "./trackingWidget";

declare const process: { env: Record<string, string | undefined> };

export const DEFAULT_WIDGET_PORT = 8437;

/** The part of a web framework that the routes need. */
export interface WidgetHost {
  get(path: string, handler: (waybill: string) => string): void;
}

/** Finds the steps of a waybill. */
export type JourneySource = (waybill: string) => JourneyStep[];

/** Reads the port that the widget listens on. */
export function widgetPort(): number {
  return Number(process.env.PARCELRY_WIDGET_PORT ?? DEFAULT_WIDGET_PORT);
}

/** Registers the routes of the widget. */
export function mountWidget(app: WidgetHost, source: JourneySource): void {
  app.get("/widget/timeline", (waybill) => showTimeline(waybill, source));
  app.get("/widget/compact", (waybill) => showCompact(waybill, source));
}

/** Shows the full journey of a waybill. */
export function showTimeline(waybill: string, source: JourneySource): string {
  return new TimelinePanel(waybill).renderPanel(source(waybill));
}

/** Shows the newest step of a waybill. */
export function showCompact(waybill: string, source: JourneySource): string {
  return new CompactPanel(waybill).renderPanel(source(waybill));
}
