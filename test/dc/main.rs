// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The HTTP behavior of an IMGAPI in DC mode, in a coal datacenter and over real sockets.
//!
//! All tests share one datacenter, which is started with the first test and stopped after the last one. This is why there is a
//! `main` of our own. The tests run concurrently, so each creates the images that it looks at. It leaves the records of
//! `test/data/manifest/moray-imgapi_images.jsonl`, which every test finds in Moray, unchanged. Only these belong to vader,
//! emperor and sdc, so a list of their images is always the same. Tests that stop a service start their own datacenter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test reports by panicking; without the built-in harness clippy does not see that these are tests"
)]

mod support;

mod acl;
mod adm;
mod archive;
mod audit;
mod bodies;
mod clones;
mod command_line;
mod conditions;
mod create;
mod documented;
mod downloads;
mod enable;
mod expiry;
mod filters;
mod from_url;
mod headers;
mod health;
mod icons;
mod imports;
mod inspect;
mod jobs;
mod late;
mod lifecycle;
mod listing;
mod lxd;
mod manta;
mod manta_faults;
mod metrics;
mod moves;
mod outputs;
mod overload;
mod pages;
mod paging;
mod ping;
mod precedence;
mod push;
mod races;
mod ranges;
mod reading;
mod reload;
mod representations;
mod round_trips;
mod routing;
mod runs;
mod sapi;
mod scrub;
mod shutdown;
mod sources;
mod stalls;
mod state;
mod takeover;
mod unavailable;
mod update;
mod uploads;
mod versions;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Those that take longest begin first. They wait most of the time.
    let modules = [
        manta_faults::TESTS,
        archive::TESTS,
        reload::TESTS,
        acl::TESTS,
        adm::TESTS,
        audit::TESTS,
        bodies::TESTS,
        clones::TESTS,
        command_line::TESTS,
        conditions::TESTS,
        create::TESTS,
        documented::TESTS,
        downloads::TESTS,
        enable::TESTS,
        expiry::TESTS,
        filters::TESTS,
        from_url::TESTS,
        headers::TESTS,
        health::TESTS,
        icons::TESTS,
        imports::TESTS,
        inspect::TESTS,
        jobs::TESTS,
        late::TESTS,
        lifecycle::TESTS,
        listing::TESTS,
        lxd::TESTS,
        manta::TESTS,
        metrics::TESTS,
        moves::TESTS,
        outputs::TESTS,
        overload::TESTS,
        pages::TESTS,
        paging::TESTS,
        ping::TESTS,
        precedence::TESTS,
        push::TESTS,
        races::TESTS,
        ranges::TESTS,
        reading::TESTS,
        representations::TESTS,
        round_trips::TESTS,
        routing::TESTS,
        runs::TESTS,
        sapi::TESTS,
        scrub::TESTS,
        shutdown::TESTS,
        state::TESTS,
        sources::TESTS,
        stalls::TESTS,
        takeover::TESTS,
        unavailable::TESTS,
        update::TESTS,
        uploads::TESTS,
        versions::TESTS,
    ];
    support::run(modules.concat(), support::TestApp::start)
}
