// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which images each caller sees, in a list and one by one.

use serde_json::{Value, json};

use super::support::{
    Actor, BASE, BASE_2, DARK_SIDE, EMPEROR, FATHER, JOIN_US, LUKE, NODEJS, PROBE, SDC, TestApp, VADER, tests,
};

tests! {
    an_operator_sees_all_active_images,
    an_account_sees_its_own_images_and_public_ones,
    a_state_selects_among_the_accounts_own_images,
    public_tells_private_images_from_others,
    an_owner_narrows_what_the_account_sees,
    visibility_is_the_same_in_lists_and_one_by_one,
    account_and_owner_of_a_list_are_not_checked,
    an_account_call_is_not_widened,
}

fn holds(uuids: &[String], expected: &[&str]) -> bool {
    expected.iter().all(|uuid| uuids.iter().any(|other| other == uuid))
}

fn lacks(uuids: &[String], unexpected: &[&str]) -> bool {
    uuids.iter().all(|uuid| !unexpected.contains(&uuid.as_str()))
}

async fn an_operator_sees_all_active_images(app: &TestApp) {
    let uuids = app.operator().list_uuids("").await;
    // The flags of the last image say active, although its state's text does not.
    assert!(holds(&uuids, &[BASE, FATHER, PROBE]));
    assert!(lacks(&uuids, &[NODEJS, BASE_2, DARK_SIDE, JOIN_US]));
    let all = app.operator().list_uuids("state=all").await;
    assert!(holds(&all, &[BASE, FATHER, NODEJS, BASE_2, DARK_SIDE, JOIN_US, PROBE]));

    let [image]: [Value; 1] =
        app.operator().list(&format!("inclAdminFields=true&owner={SDC}")).await.try_into().unwrap();
    assert_eq!(image["files"][0]["stor"], "local");
    let [image]: [Value; 1] = app.operator().list(&format!("owner={SDC}")).await.try_into().unwrap();
    assert_eq!(image["files"][0]["stor"], json!(null));
}

async fn an_account_sees_its_own_images_and_public_ones(app: &TestApp) {
    let vader = app.vader().list_uuids("").await;
    assert!(holds(&vader, &[FATHER, BASE]) && lacks(&vader, &[NODEJS, DARK_SIDE, JOIN_US]));
    let all = app.vader().list_uuids("state=all").await;
    assert!(holds(&all, &[FATHER, DARK_SIDE, JOIN_US, BASE, NODEJS]) && lacks(&all, &[BASE_2]));
    let luke = app.luke().list_uuids("").await;
    assert!(holds(&luke, &[FATHER, BASE]) && lacks(&luke, &[DARK_SIDE, JOIN_US]));
    let unique: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(unique.len(), all.len(), "an image of several scopes is listed once");
}

async fn a_state_selects_among_the_accounts_own_images(app: &TestApp) {
    assert_eq!(app.vader().list_uuids("state=disabled").await, [DARK_SIDE]);
    assert_eq!(app.vader().list_uuids("state=unactivated").await, [JOIN_US]);
    assert_eq!(app.sdc().list_uuids("state=disabled").await, [NODEJS]);
    assert_eq!(app.emperor().list_uuids("state=disabled").await, [""; 0]);
}

async fn public_tells_private_images_from_others(app: &TestApp) {
    let private = app.vader().list_uuids("state=all&public=false").await;
    assert_eq!(sorted(private), sorted([FATHER, DARK_SIDE, JOIN_US]));
    let public = app.vader().list_uuids("state=all&public=true").await;
    assert!(holds(&public, &[BASE, NODEJS]) && lacks(&public, &[FATHER, DARK_SIDE, JOIN_US]));
}

async fn an_owner_narrows_what_the_account_sees(app: &TestApp) {
    let own = app.vader().list_uuids(&format!("owner={VADER}&state=all")).await;
    assert_eq!(sorted(own), sorted([FATHER, DARK_SIDE, JOIN_US]));
    assert_eq!(app.luke().list_uuids(&format!("owner={VADER}")).await, [FATHER]);
    let shared = app.luke().list_uuids(&format!("owner={VADER}&state=all")).await;
    assert_eq!(sorted(shared), sorted([FATHER, DARK_SIDE]));
    assert_eq!(app.luke().list_uuids(&format!("owner={SDC}")).await, [BASE]);
    assert_eq!(app.emperor().list_uuids(&format!("owner={VADER}&state=all")).await, [""; 0]);
    // These states never list the images of other accounts, even if the state is that of a placeholder.
    for state in ["disabled", "unactivated", "creating", "failed"] {
        let query = format!("owner={VADER}&state={state}");
        assert_eq!(app.luke().list_uuids(&query).await, [""; 0], "{state}");
    }
}

async fn visibility_is_the_same_in_lists_and_one_by_one(app: &TestApp) {
    let everybody = [app.vader(), app.luke(), app.emperor(), app.sdc()];
    let matrix = [
        (BASE, [true, true, true, true]),
        (NODEJS, [true, true, true, true]),
        (BASE_2, [false, false, false, true]),
        (FATHER, [true, true, false, false]),
        (DARK_SIDE, [true, true, false, false]),
        (JOIN_US, [true, false, false, false]),
    ];
    for (index, actor) in everybody.iter().enumerate() {
        let listed = actor.list_uuids("state=all").await;
        for (uuid, visible) in &matrix {
            let expected = visible[index];
            assert_eq!(holds(&listed, &[uuid]), expected, "{uuid} in the list of {index}");
            assert_image(actor, uuid, expected).await;
        }
    }
}

async fn assert_image(actor: &Actor<'_>, uuid: &str, visible: bool) {
    let answer = actor.get_image(uuid).await;
    if visible {
        assert_eq!(answer.ok()["uuid"], uuid);
    } else {
        let refusal = answer.refused(404, "ResourceNotFound");
        // A hidden image looks like a missing one.
        let unknown = actor.get_image(super::support::NOBODY).await.refused(404, "ResourceNotFound");
        assert_eq!(refusal.message.replace(uuid, "X"), unknown.message.replace(super::support::NOBODY, "X"));
    }
}

async fn account_and_owner_of_a_list_are_not_checked(app: &TestApp) {
    let operator = app.operator();
    let public = operator.list_uuids("account=nobody&state=all").await;
    assert!(holds(&public, &[BASE, NODEJS]) && lacks(&public, &[FATHER, JOIN_US, BASE_2]));
    assert_eq!(operator.list_uuids("owner=nobody").await, [""; 0]);
    let upper_case = operator.list_uuids(&format!("account={}&state=all", VADER.to_uppercase())).await;
    assert!(holds(&upper_case, &[BASE]) && lacks(&upper_case, &[FATHER, JOIN_US]));
}

/// An account parameter with any tricks shows no more than one without.
async fn an_account_call_is_not_widened(app: &TestApp) {
    let luke = app.luke();
    for trick in
        [format!("account={EMPEROR}"), format!("account[]={EMPEROR}"), format!("account[a]={EMPEROR}")]
    {
        for target in ["/images?state=all".to_owned(), format!("/images/{JOIN_US}?a=1")] {
            let answer = luke.get(&format!("{target}&{trick}")).await;
            answer.refused_field("InvalidParameter", "account", "Invalid");
        }
        let file = luke.upload(JOIN_US, &format!("compression=none&{trick}"), "x").await;
        file.refused_field("InvalidParameter", "account", "Invalid");
    }
    let bad = [LUKE.to_uppercase(), format!("{LUKE}%20"), "x".to_owned(), format!("{LUKE}%00")];
    for account in bad {
        let answer = app.operator().get(&format!("/images/{BASE}?account={account}")).await;
        answer.refused_field("InvalidParameter", "account", "Invalid");
    }
    // An empty account is ignored.
    app.operator().get(&format!("/images/{JOIN_US}?account=")).await.ok();
}

fn sorted(uuids: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    let mut uuids: Vec<String> = uuids.into_iter().map(Into::into).collect();
    uuids.sort();
    uuids
}
