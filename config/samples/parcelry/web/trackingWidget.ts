/** Draws the journey of a parcel on a shop's page. */

export const REFRESH_MILLISECONDS = 30000;
export const WIDGET_ELEMENT_ID = "parcelry-widget";

/** One step of the journey as the service sends it. */
export interface JourneyStep {
  depot: string;
  kind: string;
  at: number;
}

/** The service did not answer with a journey. */
export class JourneyUnavailable extends Error {}

/** Something that turns a journey into text. */
export abstract class JourneyPanel {
  constructor(protected readonly waybill: string) {}

  /** Renders the whole panel. */
  abstract renderPanel(steps: JourneyStep[]): string;

  /** Writes the line above the journey. */
  headline(): string {
    return `Parcel ${this.waybill}`;
  }
}

/** Lists every step of the journey. */
export class TimelinePanel extends JourneyPanel {
  /** Renders one line for each step. */
  renderPanel(steps: JourneyStep[]): string {
    if (steps.length === 0) {
      throw new JourneyUnavailable("journey has no steps");
    }
    return [this.headline(), ...steps.map(describeStep)].join("\n");
  }
}

/** Shows the newest step only. */
export class CompactPanel extends JourneyPanel {
  /** Renders the newest step. */
  renderPanel(steps: JourneyStep[]): string {
    const newest = steps.at(-1);
    return newest ? describeStep(newest) : this.headline();
  }
}

/** Describes a step in one line. */
export function describeStep(step: JourneyStep): string {
  return `${formatClock(step.at)} ${step.kind} in ${step.depot}`;
}

/** Formats a second of the day as hours and minutes. */
export function formatClock(at: number): string {
  return new Date(at * 1000).toISOString().slice(11, 16);
}
