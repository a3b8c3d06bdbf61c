// The editor's fields about who may vote, who finds the question, and who learns how somebody voted.

import { h } from "./dom.js";
import { check, field, input, select } from "./form.js";
import { t } from "./texts.js";

/** These settings of a question as the values of the controls. */
export const electorateValues = (question) => ({
  electorate: question.electorate,
  ballots_per_address: question.ballots_per_address ? String(question.ballots_per_address) : "",
  ballot_secrecy: question.ballot_secrecy,
  listed: question.listed,
});

/** What is sent of the controls. */
export const electorateBody = (data) => ({
  electorate: data.get("electorate"),
  ballots_per_address: data.get("electorate") === "anyone" ? Number(data.get("ballots_per_address")) || null : null,
  ballot_secrecy: data.get("ballot_secrecy"),
});

/**
 * The controls: who may vote, and what goes beneath "more options". `changeable` is the check box of
 * whether ballots may be changed, which anonymous ones may not.
 */
export function electorateFields(values, settled, offers, changeable) {
  const choose = (name, options) => {
    const control = select(name, values[name], options);
    control.disabled = settled;
    return control;
  };
  const electorate = choose("electorate", {
    anyone: t("anyone"),
    accounts: t("accounts"),
    ...((offers.includes("mail") || values.electorate === "verified") && { verified: t("verifiedOnly") }),
    invited: t("invited"),
  });
  const secrecy = choose("ballot_secrecy", {
    secret: t("secret"), public: t("public"), anonymous: t("anonymous"),
  });
  const limit = field(t("perAddress"), input("ballots_per_address", {
    type: "number", min: "1", inputmode: "numeric", value: values.ballots_per_address, disabled: settled,
  }), { pointer: "/ballots_per_address", optional: true, hint: t("perAddressHint") });
  const about = h("p", { class: "hint" });

  /** Shows what goes with what is chosen. */
  function show() {
    limit.hidden = electorate.value !== "anyone";
    about.textContent = t(`about_${secrecy.value}`);
    const isAnonymous = secrecy.value === "anonymous";
    const box = changeable.querySelector("input");
    box.disabled = settled || isAnonymous;
    if (isAnonymous) box.checked = false;
  }
  for (const control of [electorate, secrecy]) control.addEventListener("change", show);
  show();
  return {
    who: field(t("electorate"), electorate, { pointer: "/electorate" }),
    listed: check("listed", t("listed"), { checked: values.listed }),
    more: [limit, h("div", { class: "field" }, field(t("secrecy"), secrecy, { pointer: "/ballot_secrecy" }), about)],
  };
}
