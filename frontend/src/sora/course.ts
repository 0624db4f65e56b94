import { Pace } from './pace'
import { Reception } from './reception'
import type { Sending } from './sending'

/** How far one question has come: what was sent for it, where it is followed, what has arrived. The next one begins with another. */
export class Course {
  readonly reception = new Reception()
  readonly pace = new Pace()
  sending: Sending | null = null
  /** Where it can be followed, once it was answered. */
  target: string | null = null
  stop: 'no' | 'wanted' | 'asked' = 'no'
  /** Whether it was stopped because the time was up. */
  late = false
  /** Whether the run itself has ended, and not just our view of it. */
  final = false
  /** Whether the run was asked how it stands, since the last event. */
  inquired = false
}
