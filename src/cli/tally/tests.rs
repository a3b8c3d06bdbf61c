#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

const STYLE: Style = Style {
    width: 80,
    color: false,
};

fn tally(text: &str, extension: &str, options: &Options) -> Result<String, Failure> {
    let mut out = Vec::new();
    count(text, extension, options, STYLE, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn as_json(text: &str, extension: &str, options: &Options) -> Value {
    let options = Options {
        json: true,
        ..options.clone()
    };
    serde_json::from_str(&tally(text, extension, &options).unwrap()).unwrap()
}

fn outcome(text: &str, extension: &str, options: &Options) -> Value {
    as_json(text, extension, options)["outcome"].clone()
}

fn fault(text: &str, extension: &str) -> String {
    tally(text, extension, &Options::default())
        .unwrap_err()
        .to_string()
}

fn method(method: Method) -> Options {
    Options {
        method: Some(method),
        ..Options::default()
    }
}

const COUNCIL: &str = "4 2 # four choices, two seats
6 1 2 0
3 1 3 0
2 1 0
3 2 0
4 3 0
2 4 - 2 0
0
\"Ann\" \"Bob\" Cem \"Dora \\\"Do\\\" Diaz\"
\"The council\"
";

const DINNER: &str = "# polls.method: star
count,Pizza,\"Noodles, fried\",寿司
3,5,2,
2,0,4,5

1,,,
4,3,5,1
";

const TENNESSEE: &str = r#"{"name": "Tennessee", "method": "instant_runoff", "seats": 1,
"choices": ["Memphis", "Nashville", "Chattanooga", "Knoxville"],
"ballots": [
  {"count": 42, "ranking": ["Memphis", "Nashville", "Chattanooga", "Knoxville"]},
  {"count": 26, "ranking": ["Nashville", "Chattanooga", "Knoxville", "Memphis"]},
  {"count": 15, "ranking": ["Chattanooga", "Knoxville", "Nashville", "Memphis"]},
  {"count": 17, "ranking": ["Knoxville", "Chattanooga", "Nashville", "Memphis"]}
]}"#;

/// Every election of the folder that `POLLS_TEST_ELECTIONS` names, through `polls tally --json`.
#[test]
fn elections_with_known_winners() {
    let Some(folder) = env::var_os("POLLS_TEST_ELECTIONS").map(PathBuf::from) else {
        println!("skipped: POLLS_TEST_ELECTIONS names no folder");
        return;
    };
    let mut counted = 0;
    for method in [
        "instant_runoff",
        "ranked_pairs",
        "single_transferable_vote",
        "star",
    ] {
        let text = fs::read_to_string(folder.join(format!("{method}.json"))).unwrap();
        let elections: Vec<Value> = serde_json::from_str(&text).unwrap();
        for election in elections {
            let name = election["name"].as_str().unwrap();
            let report = as_json(&election.to_string(), "json", &Options::default());
            let expected = &election["expected"];
            let set = |names: &Value| -> BTreeSet<String> {
                let names = names.as_array().unwrap().iter();
                names
                    .map(|name| name.as_str().unwrap().to_owned())
                    .collect()
            };
            assert_eq!(report["outcome"]["status"], "decided", "{name}");
            assert_eq!(
                set(&report["outcome"]["elected"]),
                set(&expected["elected"]),
                "{name}"
            );
            assert_eq!(report["outcome"]["decided_by_lot"], false, "{name}");
            let explanation = &report["explanation"];
            if let Some(rounds) = expected["rounds"].as_array() {
                let ours = explanation["rounds"].as_array().unwrap();
                assert_eq!(ours.len(), rounds.len(), "{name}");
                for (ours, expected) in ours.iter().zip(rounds) {
                    let tallies = ours["tallies"].as_array().unwrap();
                    assert_eq!(tallies.len(), expected.as_object().unwrap().len(), "{name}");
                    for tally in tallies {
                        let choice = tally["choice_id"].as_str().unwrap();
                        assert_eq!(tally["votes"].as_f64(), expected[choice].as_f64(), "{name}");
                    }
                }
            }
            if let Some(winner) = expected.get("condorcet_winner") {
                assert_eq!(explanation["condorcet_winner_id"], *winner, "{name}");
            }
            if let Some(totals) = expected.get("totals") {
                assert_eq!(report["totals"], *totals, "{name}");
                assert_eq!(
                    explanation["no_preference"], expected["no_preference"],
                    "{name}"
                );
                for one in explanation["preferring"].as_array().unwrap() {
                    let choice = one["choice_id"].as_str().unwrap();
                    assert_eq!(one["ballots"], expected["runoff"][choice], "{name}");
                }
            }
            // The table can be drawn in any terminal.
            for width in [1, 40, 80, 500] {
                let style = Style {
                    width,
                    color: width == 80,
                };
                let mut out = Vec::new();
                count(
                    &election.to_string(),
                    "json",
                    &Options::default(),
                    style,
                    &mut out,
                )
                .unwrap();
            }
            counted += 1;
        }
    }
    println!("{counted} elections");
    assert!(counted >= 129, "{counted}");
}

#[test]
fn a_table_of_rounds() {
    let expected = "\
The council
Single transferable vote (Scottish rules) · 2 seats · 20 ballots · quota 7

Round                 1          2          3
───────────────────────────────────────────────
Ann            11.00000 ✔  7.00000    7.00000
Bob             3.00000    5.18178    7.18178 ✔
Cem             4.00000    5.09089    5.09089
Dora \"Do\" Diaz  2.00000    2.00000 ✘
Exhausted       0.00000    0.72733    0.72733

Round 1  Ann has the quota of 7 and is elected. The surplus of Ann, 4, is
         transferred. Transfers: 2.18178 to Bob, 1.09089 to Cem, 0.72733 to
         nobody.
Round 2  Dora \"Do\" Diaz is last with 2 and is eliminated. Transfers: 2 to Bob.
Round 3  Bob has the quota of 7 and is elected.

Ann and Bob are elected.
";
    assert_eq!(
        tally(COUNCIL, "blt", &Options::default()).unwrap(),
        expected
    );
}

#[test]
fn tables_of_the_other_methods() {
    let star = tally(DINNER, "csv", &Options::default()).unwrap();
    assert!(star.contains("Noodles, fried ✔ ██"), "{star}");
    assert!(star.contains("1 without a preference."), "{star}");
    let pairs = tally(TENNESSEE, "json", &method(Method::RankedPairs)).unwrap();
    assert!(
        pairs.contains("Chattanooga 83 : 17 Knoxville    locked\n"),
        "{pairs}"
    );
    let borda = tally(TENNESSEE, "json", &method(Method::Borda)).unwrap();
    assert!(
        borda
            .lines()
            .any(|line| line.starts_with("Nashville") && line.ends_with("194"))
    );
    let irv = tally(TENNESSEE, "json", &Options::default()).unwrap();
    assert!(
        irv.contains("Round 3  Knoxville has 58 of 100 continuing ballots"),
        "{irv}"
    );
    let tie = tally("A,B,C\n1,1,0\n", "csv", &method(Method::MultipleChoice)).unwrap();
    assert!(tie.ends_with("\nA and B are tied for one seat.\n"), "{tie}");
}

/// The first line of colours, and no colour where none is wanted.
#[test]
fn colours_only_on_demand() {
    let mut out = Vec::new();
    let style = Style {
        width: 80,
        color: true,
    };
    count(COUNCIL, "blt", &Options::default(), style, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("\u{1b}[1;32m"));
    assert!(
        !tally(COUNCIL, "blt", &Options::default())
            .unwrap()
            .contains('\u{1b}')
    );
}

/// A file cannot send commands to the terminal or turn the direction of writing.
#[test]
fn names_are_harmless() {
    let hostile = "3 1\n1 1 0\n0\n\"\u{1b}[2JAnn\" \"Bob\u{202e}\" \"Cem\"\n\"Title\u{7}\"\n";
    let shown = tally(hostile, "blt", &Options::default()).unwrap();
    assert!(
        !shown.contains(['\u{1b}', '\u{202e}', '\u{7}']),
        "{shown:?}"
    );
    let twice = "2 1\n1 1 0\n0\n\"\u{1b}[2J\" \"\u{1b}[2J\"\n";
    assert!(!fault(twice, "blt").contains('\u{1b}'));
}

#[test]
fn json_has_names_for_ids() {
    let report = as_json(TENNESSEE, "json", &method(Method::RankedPairs));
    assert_eq!(
        report["outcome"],
        json!({"status": "decided", "elected": ["Nashville"], "tied": [], "decided_by_lot": false})
    );
    assert_eq!(
        report["totals"],
        json!({"Memphis": 42, "Nashville": 26, "Chattanooga": 15, "Knoxville": 17})
    );
    assert_eq!(report["explanation"]["condorcet_winner_id"], "Nashville");
    assert_eq!(
        report["explanation"]["pairs"][0]["winner_id"],
        "Chattanooga"
    );
    assert!(
        as_json("A,B\n1,0\n", "csv", &Options::default())
            .get("explanation")
            .is_none()
    );
}

#[test]
fn a_needed_lot_is_asked_for_and_used() {
    let tie = r#"{"method": "instant_runoff", "seats": 1, "choices": ["Ann", "Bob, Jr"],
        "ballots": [{"ranking": ["Ann"]}, {"ranking": ["Bob, Jr"]}]}"#;
    let failure = tally(tie, "json", &Options::default()).unwrap_err();
    assert_eq!(failure.exit_code(), 3);
    assert!(
        failure.to_string().ends_with(r#"--lot 'Ann,"Bob, Jr"'"#),
        "{failure}"
    );
    let lot = Options {
        lot: Some(r#""Bob, Jr",Ann"#.to_owned()),
        ..Options::default()
    };
    let drawn = outcome(tie, "json", &lot);
    assert_eq!(
        drawn,
        json!({"status": "decided", "elected": ["Bob, Jr"], "tied": [], "decided_by_lot": true})
    );
    let with_lot = tie.replace("\"seats\"", "\"lot\": [\"Bob, Jr\", \"Ann\"], \"seats\"");
    assert_eq!(outcome(&with_lot, "json", &Options::default()), drawn);
    for (lot, says) in [
        ("Ann", "does not name \"Bob, Jr\""),
        ("Ann,Eve", "names \"Eve\", which is not a choice"),
        ("Ann,Ann", "names \"Ann\" twice"),
        ("\"Ann", "does not end"),
    ] {
        let options = Options {
            lot: Some(lot.to_owned()),
            ..Options::default()
        };
        let failure = tally(tie, "json", &options).unwrap_err();
        assert!(failure.to_string().contains(says), "{failure}");
        assert_eq!(failure.exit_code(), 2);
    }
}

#[test]
fn ties_for_the_last_seat_are_shown_or_drawn() {
    let tie = "A,B,C\n5,5,1\n";
    let shown = outcome(tie, "csv", &Options::default());
    assert_eq!(
        (&shown["status"], &shown["tied"]),
        (&json!("tied"), &json!(["A", "B"]))
    );
    let lot = Options {
        lot: Some("B,C,A".to_owned()),
        ..Options::default()
    };
    assert_eq!(outcome(tie, "csv", &lot)["elected"], json!(["B"]));
    let settings = format!("# polls.tie_break: lot\n# polls.lot: B, C, A\n{tie}");
    assert_eq!(
        outcome(&settings, "csv", &Options::default())["elected"],
        json!(["B"])
    );
}

#[test]
fn the_three_formats_agree() {
    let blt = "# polls.method: borda\n3 1 2 2 1 0 1 3 0 1 0 0 \"A\" \"B\" \"C\"";
    let json = r#"{"method": "borda", "seats": 1, "choices": ["A", "B", "C"], "ballots":
        [{"count": 2, "ranking": ["B", "A"]}, {"ranking": ["C"]}, {"count": 1, "ranking": []}]}"#;
    assert_eq!(
        as_json(blt, "blt", &Options::default()),
        as_json(json, "json", &Options::default())
    );
    let csv = "\u{feff}# polls.method: score\r\ncount;A;B;C\r\n2;0;5;3\r\n1;;;4\r\n";
    let json = r#"{"method": "score", "seats": 1, "choices": ["A", "B", "C"], "ballots":
        [{"count": 2, "scores": {"B": 5, "C": 3}}, {"scores": {"C": 4, "A": 0}}]}"#;
    assert_eq!(
        as_json(csv, "CSV", &Options::default()),
        as_json(json, "json", &Options::default())
    );
}

#[test]
fn settings_in_comments() {
    let csv = "# polls.method: multiple_choice\n# polls.seats: 2\n# polls.quorum: 3\n\
               # polls.threshold: more than 1/2 of votes_cast\nA,B,#polls\n1,0,1\n1,1,0\n0,0,0\n";
    assert_eq!(
        outcome(csv, "csv", &Options::default())["elected"],
        json!(["A"])
    );
    let quorum = csv.replace("quorum: 3", "quorum: 4");
    assert_eq!(
        outcome(&quorum, "csv", &Options::default())["status"],
        "no_quorum"
    );
    let threshold = csv.replace("more than 1/2 of votes_cast", "1/1 of ballots");
    assert_eq!(
        outcome(&threshold, "csv", &Options::default())["status"],
        "below_threshold"
    );
}

/// What a server exports against formula injection is read back as it was.
#[test]
fn guarded_names_are_read_back() {
    let names = "'=A1+B1,'@x,'tis,\"x;'=1\"";
    let report = as_json(&format!("{names}\n1,0,0,0\n"), "csv", &Options::default());
    assert_eq!(
        report["totals"],
        json!({"=A1+B1": 1, "@x": 0, "'tis": 0, "x;=1": 0})
    );
}

#[test]
fn a_table_may_have_ranks_and_columns_before_the_choices() {
    // As a spreadsheet saves it, with empty cells behind the settings.
    let table = "# polls.method: borda,,,,\r\n# polls.cells: ranks,,,,\r\n\
                 # polls.first_choice_column: 4,,,,\r\n\
                 voter,count,when,A,count\r\nAda,2,today,2,1\r\n,1,,1,\r\n,1,,,\r\n";
    let json = r#"{"method": "borda", "seats": 1, "choices": ["A", "count"], "ballots":
        [{"count": 2, "ranking": ["count", "A"]}, {"ranking": ["A"]}, {"ranking": []}]}"#;
    assert_eq!(
        as_json(table, "csv", &Options::default()),
        as_json(json, "json", &Options::default())
    );
}

#[test]
fn a_lot_may_name_choices_by_number() {
    let tie = "# polls.lot_numbers: 2 1 3\n# polls.tie_break: lot\nA,B,C\n1,1,0\n";
    let drawn = outcome(tie, "csv", &Options::default());
    assert_eq!(
        (&drawn["elected"], &drawn["decided_by_lot"]),
        (&json!(["B"]), &json!(true))
    );
    let other = tie.replace("2 1 3", "1 2 3");
    assert_eq!(
        outcome(&other, "csv", &Options::default())["elected"],
        json!(["A"])
    );
}

/// A choice may have the name of a member.
#[test]
fn rankings_and_scores_are_told_apart_whatever_the_choices_are_called() {
    let ranked = r#"{"method": "borda", "choices": ["scores", "ranking"], "ballots":
        [{"voter": {"name": "scores"}, "cast_at": "now", "ranking": ["scores"]}]}"#;
    let elected = |text: &str| outcome(text, "json", &Options::default())["elected"].clone();
    assert_eq!(elected(ranked), json!(["scores"]));
    let scored = r#"{"method": "score", "choices": ["scores", "ranking"], "ballots":
        [{"scores": {"ranking": 3}}]}"#;
    assert_eq!(elected(scored), json!(["ranking"]));
}

#[test]
fn withdrawn_choices_do_not_count() {
    let blt = "3 1\n-2\n3 2 3 0\n2 1 0\n0\n\"A\"\n\"B\"\n\"C\"\n";
    let report = as_json(blt, "blt", &Options::default());
    assert_eq!(report["totals"], json!({"A": 2, "C": 3}));
}

#[test]
fn faults_name_the_line_and_the_remedy() {
    for (extension, text, says) in [
        ("txt", "", "does not tell its format"),
        (
            "blt",
            "",
            "line 1: The file does not begin with the number of choices",
        ),
        (
            "blt",
            "2 1\n1 1 0\n1 3 0\n0\nA B",
            "line 3: \"3\" is not the number of a choice",
        ),
        (
            "blt",
            "2 1\n1 1 1 0\n0\nA B",
            "line 2: The ballot names choice 1 twice",
        ),
        (
            "blt",
            "2 1\n1 1\n1 2 0\n0\nA B",
            "line 2: The ballot does not end",
        ),
        (
            "blt",
            "2 1\n1 1=2 0\n0\nA B",
            "line 2: The ballot ranks choices equally",
        ),
        (
            "blt",
            "2 1\n1 1 0\n\"A\" \"B\"",
            "line 3: \"A\" stands where a ballot is expected",
        ),
        (
            "blt",
            "2 1\n1 1 0\n0\n\"A\"",
            "line 4: The name of choice 2 is missing",
        ),
        (
            "blt",
            "2 1\n1 1 0\n0\n\"A\" \"B",
            "line 4: A name in quotes does not end",
        ),
        (
            "blt",
            "2 2\n1 1 0\n0\nA B",
            "There are 2 seats for 2 choices",
        ),
        ("blt", "9999999 1", "At most 1000 choices"),
        (
            "blt",
            "2 1\n# polls.seat: 1\n",
            "line 2: The setting \"seat\"",
        ),
        ("csv", "", "no header"),
        ("csv", "A,A\n", "line 1: Two choices are called \"A\""),
        ("csv", "A,\n", "line 1: Choice 2 has no name"),
        ("csv", "A\n1\n", "line 1: The election has 1 choices"),
        (
            "csv",
            "A,B\n1,2\n\n1,2,3\n",
            "line 4: The row has 3 cells, the header has 2",
        ),
        (
            "csv",
            "A,B\n1,x\n",
            "line 2: \"x\" is not a score for \"B\"",
        ),
        ("csv", "A,B\n1,-1\n", "line 2: \"-1\" is not a score"),
        ("csv", "A,B\n1,101\n", "line 2: \"101\" is not a score"),
        (
            "csv",
            "\"A\nA\",B\n1,101\n",
            "line 3: \"101\" is not a score",
        ),
        ("csv", "A,\"B\n1,2\n", "line 1: A quoted cell does not end"),
        (
            "csv",
            "count,A,B\nmany,1,2\n",
            "line 2: \"many\" is not a number of ballots",
        ),
        (
            "csv",
            "# polls.cells: ranks\nA,B\n1,x\n",
            "line 3: \"x\" is not a rank of \"B\"",
        ),
        (
            "csv",
            "# polls.cells: ranks\nA,B\n2,2\n",
            "line 3: The ballot gives two choices the rank 2",
        ),
        (
            "csv",
            "# polls.cells: words\nA,B\n",
            "line 1: The setting \"cells\"",
        ),
        (
            "csv",
            "# polls.first_choice_column: 0\nA,B\n",
            "line 1: The setting \"first_choice_column\"",
        ),
        (
            "csv",
            "# polls.first_choice_column: 9\nA,B\n",
            "line 2: The election has 0 choices",
        ),
        (
            "csv",
            "# polls.lot_numbers: 1 3\nA,B\n1,0\n",
            "line 1: The lot names choice 3, which does not exist",
        ),
        (
            "csv",
            "# polls.method: irv\nA,B\n",
            "line 1: \"irv\" is not a voting method",
        ),
        (
            "csv",
            "# polls.method: star\nA,B\n1,2\n6,2\n",
            "line 4: The ballot has a score of 6",
        ),
        (
            "csv",
            "# polls.method: borda\nA,B\n1,2\n",
            "borda counts rankings, and the ballots have scores",
        ),
        ("json", "[]", "The file is a list"),
        (
            "json",
            "{\n\"method\": \"irv\"}",
            "line 2: Unknown variant `irv`",
        ),
        ("json", "{\n", "line 2: EOF while parsing an object."),
        (
            "json",
            "{\"choices\": [\"A\", \"B\"],\n\"ballots\": [\n{\"ranking\": [\"A\"]},\n{\"ranking\": [\"C\"]}]}",
            "line 4: The ballot names \"C\", which is not a choice",
        ),
        (
            "json",
            "{\"choices\": [\"A\", \"B\"],\n\"ballots\": [{\"scores\": {\"A\": 1}},\n{\"ranking\": [\"A\"]}]}",
            "line 3: The ballot has another form",
        ),
        (
            "json",
            "{\"choices\": [\"A\", \"B\"],\n\"ballots\": [{\"scores\": {\"A\":\n 1.5}}]}",
            "line 2: \"1.5\" is not a score for \"A\"",
        ),
        (
            "json",
            "{\"choices\": [\"A\", \"B\"],\n\"ballots\": [{\"rankin\":\n 1.5}]}",
            "line 2: Unknown field `rankin`",
        ),
    ] {
        let failure = fault(text, extension);
        assert!(failure.contains(says), "{text:?}: {failure}");
        assert!(failure.lines().count() == 2, "{failure}");
    }
}

#[test]
fn files_are_named_in_faults() {
    let folder = env::temp_dir();
    let run_on = |name: &str, bytes: &[u8]| {
        let file = folder.join(format!("{}-{name}", std::process::id()));
        fs::write(&file, bytes).unwrap();
        let result = run(&file, &Options::default(), STYLE, &mut Vec::new());
        fs::remove_file(&file).unwrap();
        result
    };
    assert_eq!(run_on("fine.csv", b"A,B\n1,0\n"), Ok(()));
    let failure = run_on("bad.csv", b"A,B\n1\n").unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("bad.csv:2: The row has 1 cells"),
        "{failure}"
    );
    assert_eq!(failure.exit_code(), 1);
    let failure = run_on("latin1.csv", b"A,B\n1,0\n\xe9,1\n").unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("latin1.csv:3: The text is not UTF-8"),
        "{failure}"
    );
    let failure = run(
        &folder.join("no/such.csv"),
        &Options::default(),
        STYLE,
        &mut Vec::new(),
    );
    assert!(
        failure
            .unwrap_err()
            .to_string()
            .contains("such.csv: The file cannot be read")
    );
}

#[test]
fn options_that_do_not_fit() {
    for (options, says) in [
        (
            method(Method::Star),
            "star counts scores, and the ballots have rankings",
        ),
        (
            Options {
                seats: Some(4),
                ..Options::default()
            },
            "instant_runoff has one seat, not 4",
        ),
        (
            Options {
                seats: Some(4),
                ..method(Method::Borda)
            },
            "There are 4 seats for 4 choices",
        ),
    ] {
        let failure = tally(TENNESSEE, "json", &options).unwrap_err();
        assert!(failure.to_string().contains(says), "{failure}");
        assert_eq!(failure.exit_code(), 2);
    }
    // A method with one seat needs no --seats.
    assert_eq!(
        outcome(COUNCIL, "blt", &method(Method::InstantRunoff))["elected"],
        json!(["Ann"])
    );
}

#[test]
fn random_bytes_are_no_panic() {
    let mut state = 1_u64;
    let alphabet: Vec<char> = "0123 ,;\n\"#-=\\{}[]:ABcountpolls.é寿".chars().collect();
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..state % 60 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text.push(alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()]);
        }
        state = state.wrapping_add(1);
        for extension in ["blt", "csv", "json"] {
            let _ = tally(&text, extension, &Options::default());
            let prefixed = if extension == "blt" {
                format!("2 1 {text}")
            } else {
                format!("A,B\n{text}")
            };
            let _ = tally(&prefixed, extension, &Options::default());
        }
    }
}
