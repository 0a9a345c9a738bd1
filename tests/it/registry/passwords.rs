//! Users, passwords and tokens.

use provision::registry::{Registries, RegistryError};

use super::image::{NAME, two_architectures};
use super::server::{Behaviour, Fault, Server, Users, error};
use super::{PASSWORD, PASSWORD_IN_BASE64, TOKEN, open, reference, refusal, resolve, settings, with_password};

async fn server(users: Users) -> Server {
    Behaviour::new(two_architectures().0).users(users).start().await
}

#[tokio::test]
async fn a_password_is_sent_when_it_is_asked_for() {
    let server = server(Users::ByPassword).await;
    let settings = settings(with_password(open(&server), PASSWORD));
    resolve(&settings, &reference(&server, NAME)).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].authorization, None);
    // Once it is known that it is wanted, it is sent at once.
    assert_eq!(asked.len(), 4);
    assert!(asked[1..].iter().all(|asked| asked.authorization == Some(format!("Basic {PASSWORD_IN_BASE64}"))));
}

#[tokio::test]
async fn one_token_serves_all_requests_for_a_repository() {
    let server = server(Users::ByToken).await;
    let registries = Registries::new(&settings(with_password(open(&server), PASSWORD))).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let image = reference(&server, NAME);
    let resolved = registries.resolve(&image, "amd64").await.unwrap();
    registries.save(&resolved, &[image], &folder.path().join("pause.tar"), &|_| {}).await.unwrap();
    let tokens: Vec<_> = server.asked().into_iter().filter(|asked| asked.path.starts_with("/token?")).collect();
    let [token] = &tokens[..] else { panic!("{tokens:?}") };
    assert_eq!(token.path, "/token?service=lab&scope=repository%3Ak8s%2Fpause%3Apull");
    assert_eq!(token.authorization, Some(format!("Basic {PASSWORD_IN_BASE64}")));
}

#[tokio::test]
async fn a_token_that_has_run_out_is_replaced() {
    let behaviour = Behaviour::new(two_architectures().0).users(Users::ByToken);
    let behaviour =
        behaviour.faults(|asked, earlier| (asked.path.contains("/blobs/") && earlier == 0).then_some(Fault::Forgotten));
    let server = behaviour.start().await;
    resolve(&settings(with_password(open(&server), PASSWORD)), &reference(&server, NAME)).await.unwrap();
    assert_eq!(server.count("/token?"), 2);
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_tried_once() {
    for users in [Users::ByPassword, Users::ByToken] {
        let server = server(users).await;
        let refused = refusal(&settings(with_password(open(&server), "hunter3")), &reference(&server, NAME)).await;
        let text = refused.to_string();
        let RegistryError::PasswordRefused { user, reason, .. } = refused else { panic!("{text}") };
        assert_eq!(user, "robot");
        assert!(reason.starts_with("401"), "{reason}");
        assert!(!text.contains("hunter3"), "{text}");
        assert_eq!(server.asked().iter().filter(|asked| asked.authorization.is_some()).count(), 1);
    }
}

#[tokio::test]
async fn where_no_password_is_known_that_is_what_is_said() {
    for users in [Users::ByPassword, Users::ByToken] {
        let server = server(users).await;
        let refused = refusal(&settings(open(&server)), &reference(&server, NAME)).await;
        assert!(matches!(refused, RegistryError::PasswordNeeded { .. }), "{refused}");
        assert!(server.asked().iter().all(|asked| asked.authorization.is_none()));
    }
}

#[tokio::test]
async fn a_user_who_may_not_pull_is_refused_by_name() {
    let behaviour = Behaviour::new(two_architectures().0).users(Users::ByPassword);
    let behaviour = behaviour.faults(|asked, _| {
        // A registry that says what it should not.
        let said = format!("robot:{PASSWORD} may not pull");
        asked.authorization.is_some().then(|| Fault::Answer(403, Vec::new(), error("DENIED", &said)))
    });
    let server = behaviour.start().await;
    let refused = refusal(&settings(with_password(open(&server), PASSWORD)), &reference(&server, NAME)).await;
    let RegistryError::PasswordRefused { reason, .. } = refused else { panic!("{refused}") };
    assert_eq!(reason, "403 Forbidden (robot:... may not pull)");
}

#[tokio::test]
async fn a_password_goes_to_its_registry_only() {
    let (own, other) = (server(Users::ByPassword).await, server(Users::ByPassword).await);
    let mut both = settings(with_password(open(&own), PASSWORD));
    both.accesses.push(open(&other));
    resolve(&both, &reference(&own, NAME)).await.unwrap();
    let refused = refusal(&both, &reference(&other, NAME)).await;
    assert!(matches!(refused, RegistryError::PasswordNeeded { .. }), "{refused}");
    assert!(other.asked().iter().all(|asked| asked.authorization.is_none()));
}

#[tokio::test]
async fn another_host_that_a_registry_sends_to_gets_no_password() {
    let (content, image) = two_architectures();
    // It asks for a user, and says where passwords shall be sent.
    let store = Behaviour::new(content.clone()).users(Users::ByToken).start().await;
    let elsewhere = store.host.clone();
    let behaviour = Behaviour::new(content).users(Users::ByToken).faults(move |asked, _| {
        let known = asked.authorization == Some(format!("Bearer {TOKEN}"));
        let address = format!("http://{elsewhere}{}?X-Signature=1", asked.path);
        (known && asked.path.contains("/blobs/"))
            .then(|| Fault::Answer(307, vec![("location", address)], String::new()))
    });
    let server = behaviour.start().await;
    let refused = refusal(&settings(with_password(open(&server), PASSWORD)), &reference(&server, NAME)).await;
    assert!(matches!(refused, RegistryError::PasswordRefused { .. }), "{refused}");
    let asked = store.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].path.contains(image.config_digest().as_str()));
    assert_eq!(asked[0].authorization, None);
}
