import { options } from "preact";
import { visible } from "./format";

const shown = (value: unknown): unknown => (typeof value === "string" ? visible(value) : Array.isArray(value) ? value.map(shown) : value);

const before = options.vnode;

/** Texts and hints of all elements, whoever named what they hold: nothing in them is unseen. */
options.vnode = (vnode) => {
  const props = vnode.props as Record<string, unknown>;
  for (const name of ["children", "title", "aria-label"]) if (props[name]) props[name] = shown(props[name]);
  before?.(vnode);
};
