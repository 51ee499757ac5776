//! Filter rules.

use serde_json::{Map, Value, json};

use super::{
    checks::{self, Takes},
    config::{Kind, flag, text},
    envelope::ApiResult,
    fields::{Choices, Default, Field, Op, Scope, Type},
    spec::{CRUD, Dispatcher, GET_PUT_DELETE, Spec},
};

pub(super) static SPEC: Spec = Spec {
    kind: Kind::Rule,
    singular: "firewall/rule",
    plural: "firewall/rules",
    fields: FIELDS,
    singular_methods: CRUD,
    plural_methods: GET_PUT_DELETE,
    minimum: 1,
    // The package names none: changed rules are never reported as pending.
    subsystem: None,
    dispatcher: Dispatcher::Firewall,
    mass_delete_dies_at: Some(400),
    whole: |scope, row| {
        stamp(scope, row);
        Ok(())
    },
};

const PROTOCOLS: &[&str] =
    &["tcp", "udp", "tcp/udp", "icmp", "esp", "ah", "gre", "ipv6", "igmp", "pim", "ospf", "carp", "pfsync"];
const ICMP_TYPES: &[&str] = &[
    "any",
    "althost",
    "dataconv",
    "echorep",
    "echoreq",
    "inforep",
    "inforeq",
    "ipv6-here",
    "ipv6-where",
    "maskrep",
    "maskreq",
    "mobredir",
    "mobregrep",
    "mobregreq",
    "paramprob",
    "photuris",
    "redir",
    "routeradv",
    "routersol",
    "skip",
    "squench",
    "timerep",
    "timereq",
    "timex",
    "trace",
    "unreach",
];
const DSCP: &[&str] = &[
    "", "af11", "af12", "af13", "af21", "af22", "af23", "af31", "af32", "af33", "af41", "af42", "af43", "VA",
    "EF", "cs1", "cs2", "cs3", "cs4", "cs5", "cs6", "cs7", "0x01", "0x02", "0x04",
];
const TCP_FLAGS: &[&str] = &["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];

const FIELDS: &[Field] = &[
    Field::text("type").required().one_of(&["pass", "block", "reject"]),
    Field::joined("interface").required().choices(Choices::RuleInterfaces),
    Field::text("ipprotocol").required().one_of(&["inet", "inet6", "inet46"]),
    Field::nullable("protocol").one_of(PROTOCOLS),
    Field::joined("icmptype")
        .or(Default::Items(&["any"]))
        .one_of(ICMP_TYPES)
        .only_if(|row| text(row, "protocol") == "icmp"),
    Field::text("source").required().check(address),
    Field::nullable("source_port").check(checks::port).only_if(has_ports),
    Field::text("destination").required().check(address),
    Field::nullable("destination_port").check(checks::port).only_if(has_ports),
    Field::text("descr"),
    Field::bool("disabled"),
    Field::bool("log"),
    Field::nullable("dscp").one_of(DSCP),
    Field::text("tag"),
    Field::text("statetype").or(Default::Text("keep state")).one_of(&[
        "keep state",
        "sloppy state",
        "synproxy state",
        "none",
    ]),
    Field::bool("tcp_flags_any"),
    Field::joined("tcp_flags_out_of")
        .or(Default::None)
        .one_of(TCP_FLAGS)
        .only_if(|row| !flag(row, "tcp_flags_any")),
    Field::joined("tcp_flags_set")
        .or(Default::None)
        .one_of(TCP_FLAGS)
        .only_if(|row| !flag(row, "tcp_flags_any")),
    Field::nullable("gateway").check(checks::foreign),
    Field::nullable("sched").check(checks::foreign),
    Field::nullable("dnpipe").check(checks::foreign),
    Field::nullable("pdnpipe").check(checks::foreign),
    Field::nullable("defaultqueue").check(checks::foreign),
    Field::nullable("ackqueue").check(checks::foreign),
    Field::bool("floating"),
    Field::bool("quick").only_if(|row| flag(row, "floating")),
    Field::text("direction")
        .or(Default::Text("any"))
        .one_of(&["any", "in", "out"])
        .only_if(|row| flag(row, "floating")),
    // Rules made within one second share their number.
    Field::uid("tracker", Type::UidInt, |scope| json!(scope.now)),
    Field::auto("associated_rule_id", Default::None),
    Field::auto("created_time", Default::None),
    Field::auto("created_by", Default::Made(|scope| json!(creator(scope)))),
    Field::auto("updated_time", Default::None),
    Field::auto("updated_by", Default::None),
];

pub(super) fn has_ports(row: &Map<String, Value>) -> bool {
    matches!(text(row, "protocol"), "tcp" | "udp" | "tcp/udp")
}

/// Source or destination of a rule or a port forward.
pub(super) fn address(scope: &Scope<'_>, field: &Field, value: &str) -> ApiResult<()> {
    let keywords = &["any", "(self)", "l2tp", "pppoe"];
    let takes = Takes { interface: true, ip: true, subnet: true, alias: true, keywords, invert: true };
    checks::address(scope, field, value, takes, "FILTER_ADDRESS_FIELD_INVALID")
}

/// A single POST is answered before the package knows the user's name; a PUT is not.
pub(super) fn creator(scope: &Scope<'_>) -> String {
    let user = if scope.op == Op::Replace { scope.author.user.as_str() } else { "" };
    format!("{user}@{} (API)", scope.author.ip)
}

/// Notes who wrote the object and when.
pub(super) fn stamp(scope: &Scope<'_>, row: &mut Map<String, Value>) {
    if scope.op != Op::Update {
        row.insert("created_time".to_owned(), json!(scope.now));
    }
    row.insert("updated_time".to_owned(), json!(scope.now));
    row.insert("updated_by".to_owned(), json!(format!("{}@{} (API)", scope.author.user, scope.author.ip)));
}
