// The editor's fields about who may vote, who finds the question, and who learns how somebody voted.

import { fill, h } from "./dom.js";
import { check, field, input, select } from "./form.js";
import { wholeNumber } from "./rules.js";
import { t } from "./texts.js";

/** These settings of a question as the values of the controls. */
export const electorateValues = ({ electorate, ballots_per_address: limit, ballot_secrecy: secrecy, listed }) => ({
  electorate,
  ballots_per_address: limit ? String(limit) : "",
  ballot_secrecy: secrecy,
  listed,
});

/** What is sent of the controls that cannot be changed once there are ballots. */
export const electorateBody = (data) => ({
  electorate: data.get("electorate"),
  ballots_per_address: data.get("electorate") === "anyone" ? wholeNumber(data.get("ballots_per_address"), null) : null,
  ballot_secrecy: data.get("ballot_secrecy"),
});

/** The controls: who may vote, whether the question is listed, and what goes beneath "more options". */
export function electorateFields(values, settled, offers) {
  const options = { anyone: t("anyone"), accounts: t("accounts") };
  // Nobody can verify an address where the server sends no mail.
  if (offers.includes("mail") || values.electorate === "verified") options.verified = t("verifiedOnly");
  options.invited = t("invited");
  const choose = (name, options) => {
    const control = select(name, values[name], options);
    control.disabled = settled;
    return control;
  };
  const electorate = choose("electorate", options);
  const secrecies = { secret: t("secret"), public: t("public") };
  const secrecy = field(t("secrecy"), choose("ballot_secrecy", secrecies), { pointer: "/ballot_secrecy", hint: t("secrecyHint") });
  const limit = field(t("perAddress"), input("ballots_per_address", {
    type: "number", min: "1", inputmode: "numeric", placeholder: t("noLimit"), value: values.ballots_per_address, disabled: settled,
  }), { pointer: "/ballots_per_address", hint: t("perAddressHint") });
  const about = h("p", { class: "hint", id: "electorate-hint" });
  electorate.setAttribute("aria-describedby", about.id);
  function show() {
    limit.hidden = electorate.value !== "anyone";
    fill(about, { anyone: t("anyoneHint"), invited: t("invitedHint") }[electorate.value]);
  }
  electorate.addEventListener("change", show);
  show();
  const hint = h("p", { class: "hint", id: "listed-hint" }, t("listedHint"));
  const listed = check("listed", t("listed"), { checked: values.listed, "aria-describedby": hint.id });
  listed.append(hint);
  return {
    who: [field(t("electorate"), electorate, { pointer: "/electorate" }), about],
    listed,
    more: [limit, secrecy],
  };
}
