//! The manifest.

use crate::network::Network;
use crate::stream::{Mapping, Stream};

/// The code of the manifest, and of the status words.
pub(crate) fn code(network: &Network) -> String {
    let statuses: String = network
        .statuses
        .iter()
        .map(|status| {
            let locked = status.locked.map(|locked| format!(".locked({locked})")).unwrap_or_default();
            format!(
                "Status::new({:?}, ValidationStatus::{}, PaymentStatus::{}){locked},",
                status.word, status.validation, status.payment
            )
        })
        .collect();
    let rate = match network.rate {
        Some([requests, per_secs, concurrency]) => {
            format!("Some(Rate {{ requests: {requests}, per_secs: {per_secs}, concurrency: {concurrency} }})")
        }
        None => "None".to_owned(),
    };
    let look_back: String = network
        .look_back
        .iter()
        .map(|(secs, days, axis)| format!("look_back({secs}, {days}, Axis::{axis}),"))
        .collect();
    let secrets: String =
        network.secrets.iter().map(|(name, meaning)| format!("required_secret({name:?}, {meaning:?}),")).collect();
    let hosts: String = network.hosts.iter().map(|host| format!("{host:?}.into(),")).collect();
    let tokens: String = network.tokens.iter().map(|token| token.code() + ",").collect();
    let streams: String = network.streams.iter().map(stream).collect();
    format!(
        "#[allow(dead_code, reason = \"a network without status words has none to look up\")]
        pub(crate) const STATUSES: &[::sluice_connector::Status] = {{
            #[allow(unused_imports)] use ::sluice_connector::*;
            &[{statuses}]
        }}; fn declared_manifest() -> ::sluice_connector::Manifest {{
            #[allow(unused_imports)] use ::sluice_connector::*;
            Manifest {{
                hosts: vec![{hosts}],
                streams: vec![{streams}],
                settings: vec![{}],
                secrets: vec![{secrets}],
                tokens: vec![{tokens}],
                rate: {rate},
                schedule: {:?}.into(),
                look_back: vec![{look_back}],
                statuses: Status::manifest(STATUSES),
                ..manifest({:?}, {:?}, env!(\"CARGO_PKG_VERSION\"))
            }}
        }}\n",
        settings(network),
        network.schedule,
        network.slug,
        network.title
    )
}

fn settings(network: &Network) -> String {
    let setting = |setting: &crate::network::Setting| {
        let default = match &setting.default {
            Some(default) => format!("Some({default:?}.into())"),
            None => "None".to_owned(),
        };
        format!(
            "Setting {{ name: {:?}.into(), meaning: {:?}.into(), required: {}, default: {default}, identifies: {} }},",
            setting.name, setting.meaning, setting.required, setting.identifies
        )
    };
    network.settings.iter().map(setting).collect()
}

fn stream(stream: &Stream) -> String {
    let axes: String = stream.axes.iter().map(|(axis, _)| format!("Axis::{axis},")).collect();
    let complete: String = stream.complete.iter().map(|axis| format!("Axis::{axis},")).collect();
    let pins: String = stream.pins.iter().map(|(kind, paths)| format!("(Kind::{kind}, &{paths:?}[..]),")).collect();
    let inputs: Vec<&str> = match &stream.mapping {
        Mapping::None => Vec::new(),
        Mapping::Columns(columns) => columns.inputs.iter().map(String::as_str).collect(),
        Mapping::Fact(columns) => columns.inputs.iter().map(String::as_str).collect(),
        Mapping::Function { inputs, .. } => inputs.iter().map(|(_, path)| path.as_str()).collect(),
    };
    let list = |texts: &[&str]| texts.iter().map(|text| format!("{text:?}.into(),")).collect::<String>();
    let key: Vec<&str> = stream.key.iter().map(String::as_str).collect();
    format!(
        "Stream {{
            unified: {},
            axes: vec![{axes}],
            complete_windows: vec![{complete}],
            max_window_secs: {:?},
            history_days: {:?},
            grain: Grain::{},
            timezone: {:?}.into(),
            layout: Layout {{
                pins: pins_by_kind(&[{pins}]), inputs: vec![{}], key: vec![{}], ..{}
            }},
            ..stream({:?})
        }},",
        stream.unified,
        stream.max_window_secs,
        stream.history_days,
        if stream.by_day { "Day" } else { "Second" },
        stream.timezone,
        list(&inputs),
        list(&key),
        stream.layout,
        stream.name
    )
}
