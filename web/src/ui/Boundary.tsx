/** Shows what went wrong in a part of the page, in place of that part; going elsewhere tries again. */

import { Component, type ReactNode } from "react";
import { Failed } from "./Feedback";

interface Props {
  /** What the part shows; another value tries again. */
  at: string;
  children: ReactNode;
}

export class Boundary extends Component<Props, { error: unknown; at: string }> {
  override state = { error: null as unknown, at: this.props.at };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  static getDerivedStateFromProps(props: Props, state: { at: string }) {
    return props.at === state.at ? null : { error: null, at: props.at };
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return <Failed error={this.state.error} retry={() => this.setState({ error: null })} />;
  }
}
