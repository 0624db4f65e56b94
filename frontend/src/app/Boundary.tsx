import { Component, type ReactNode } from 'react'

interface Props {
  /** What stands there when the children could not be drawn. */
  fallback: ReactNode
  children: ReactNode
}

/** Keeps an error in one part of the page to that part. Another `key` tries again. */
export class Boundary extends Component<Props, { failed: boolean }> {
  override state = { failed: false }

  static getDerivedStateFromError() {
    return { failed: true }
  }

  override render() {
    return this.state.failed ? this.props.fallback : this.props.children
  }
}
