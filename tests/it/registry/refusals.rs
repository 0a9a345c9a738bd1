//! What cannot be asked for is refused, each case by its own name.

use provision::base::Digest;
use provision::registry::{Registries, RegistryError, RegistrySettings};
use provision::state::ImageReference;
use serde_json::json;
use tokio::net::TcpListener;

use super::image::{MANIFEST, NAME, REPOSITORY, TestImage, TestLayer, index, two_architectures};
use super::server::{Behaviour, Content, Fault, Server};
use super::{open, reference, refusal, resolve, settings};

async fn server(content: Content) -> Server {
    Behaviour::new(content).start().await
}

/// A registry with one manifest under the tag.
fn single(image: &TestImage) -> Content {
    let mut content = Content::default();
    image.put(&mut content);
    content.manifest(REPOSITORY, "3.10", MANIFEST, &image.manifest);
    content
}

async fn refused(content: Content) -> RegistryError {
    let server = server(content).await;
    refusal(&settings(open(&server)), &reference(&server, NAME)).await
}

#[tokio::test]
async fn a_tag_is_resolved_to_what_it_means_on_an_architecture() {
    let (content, image) = two_architectures();
    let server = server(content).await;
    let resolved = resolve(&settings(open(&server)), &reference(&server, NAME)).await.unwrap();
    assert_eq!(resolved.manifest_digest, image.manifest_digest());
    assert_eq!(resolved.config_digest, image.config_digest());
    assert_ne!(resolved.top_digest, resolved.manifest_digest);
    let digests: Vec<_> = resolved.layers.iter().map(|layer| layer.digest.clone()).collect();
    assert_eq!(digests, image.layers.iter().map(TestLayer::digest).collect::<Vec<_>>());
    let each_once = image.layers[..3].iter().map(|layer| layer.bytes.len()).sum::<usize>() + image.config.len();
    assert_eq!(resolved.size, each_once as u64);
    // The tag, the manifest, the configuration: nothing else is asked for.
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_tag_without_an_index_is_its_own_manifest() {
    let image = TestImage::of_all_kinds("amd64");
    let server = server(single(&image)).await;
    let resolved = resolve(&settings(open(&server)), &reference(&server, NAME)).await.unwrap();
    assert_eq!(resolved.top_digest, image.manifest_digest());
    assert_eq!(resolved.manifest_digest, image.manifest_digest());
}

#[tokio::test]
async fn a_tag_or_repository_that_is_not_there_is_missing() {
    let (content, _) = two_architectures();
    let server = server(content).await;
    for (name, wanted) in [("k8s/pause:9", "tag 9"), ("k8s/paws:3.10", "repository k8s/paws")] {
        let error = refusal(&settings(open(&server)), &reference(&server, name)).await;
        let RegistryError::Missing { what, .. } = error else { panic!("{error}") };
        assert_eq!(what, wanted);
    }
}

#[tokio::test]
async fn an_image_for_other_machines_is_refused_with_what_there_is() {
    let arm64 = TestImage::of_all_kinds("arm64");
    let mut indexed = single(&arm64);
    indexed.manifest(REPOSITORY, "3.10", super::image::INDEX, &index(&[("arm64", &arm64)]));
    for content in [single(&arm64), indexed] {
        let error = refused(content).await;
        let RegistryError::Architecture { wanted, found, .. } = error else { panic!("{error}") };
        assert_eq!((wanted.as_str(), found.as_str()), ("amd64", "linux/arm64"));
    }
}

#[tokio::test]
async fn a_web_page_is_no_registry() {
    for (status, kind) in
        [(200, "text/html; charset=utf-8"), (200, "application/json"), (403, "text/html"), (404, "text/html")]
    {
        let behaviour = Behaviour::new(Content::default()).faults(move |_, _| {
            let page = "<html><head><title>Log in to the hotel</title></head></html>";
            Some(Fault::Answer(status, vec![("content-type", kind.into())], page.into()))
        });
        let server = behaviour.start().await;
        let error = refusal(&settings(open(&server)), &reference(&server, NAME)).await;
        let RegistryError::WebPage { reason, .. } = error else { panic!("{status} {kind}: {error}") };
        assert!(reason.contains("Log in to the hotel"), "{reason}");
    }
}

#[tokio::test]
async fn documents_with_other_digests_are_refused() {
    let image = TestImage::of_all_kinds("amd64");
    let (mut manifest, mut config) = (two_architectures().0, single(&image));
    let changed = [&image.manifest[..], b" "].concat();
    manifest.manifest(REPOSITORY, image.manifest_digest().as_str(), MANIFEST, &changed);
    config.blob_as(REPOSITORY, &image.config_digest(), &changed);
    for content in [manifest, config] {
        let error = refused(content).await;
        assert!(matches!(error, RegistryError::Content { .. }), "{error}");
        assert!(error.to_string().contains(Digest::of(&changed).as_str()), "{error}");
    }
}

#[tokio::test]
async fn a_tag_with_another_digest_than_the_registry_says_is_refused() {
    let image = TestImage::of_all_kinds("amd64");
    let text = String::from_utf8(image.manifest.clone()).unwrap();
    let behaviour = Behaviour::new(single(&image)).faults(move |asked, _| {
        let said = vec![("docker-content-digest", Digest::of("another").to_string())];
        asked.path.ends_with("manifests/3.10").then(|| Fault::Answer(200, said, text.clone()))
    });
    let server = behaviour.start().await;
    let error = refusal(&settings(open(&server)), &reference(&server, NAME)).await;
    assert!(matches!(error, RegistryError::Content { .. }), "{error}");
}

#[tokio::test]
async fn documents_that_are_none_are_refused() {
    let old = json!({ "schemaVersion": 1, "fsLayers": [] }).to_string();
    let mut foreign = TestLayer::plain("x");
    foreign.media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
    let foreign = single(&TestImage::new("amd64", vec![foreign]));
    let mut schema_1 = Content::default();
    schema_1.manifest(REPOSITORY, "3.10", "application/json", old.as_bytes());
    for content in [schema_1, foreign] {
        let error = refused(content).await;
        assert!(matches!(error, RegistryError::Unsupported { .. }), "{error}");
    }
    for text in ["", "{}", "[1]", "{\"layers\":[],\"config\":{\"digest\":\"md5:1\"}}", "{\"manifests\":[{}]}"] {
        let mut content = Content::default();
        content.manifest(REPOSITORY, "3.10", "application/json", text.as_bytes());
        let error = refused(content).await;
        assert!(matches!(error, RegistryError::Unexpected { .. }), "{text}: {error}");
    }
}

#[tokio::test]
async fn layers_that_the_configuration_does_not_name_are_refused() {
    let mut image = TestImage::of_all_kinds("amd64");
    let fewer = TestImage::new("amd64", image.layers[1..].to_vec());
    let text = String::from_utf8(image.manifest.clone()).unwrap();
    let (mine, other) = (image.config_digest().to_string(), fewer.config_digest().to_string());
    image.manifest = text.replace(&mine, &other).into_bytes();
    image.config = fewer.config;
    let error = refused(single(&image)).await;
    assert!(matches!(error, RegistryError::Unexpected { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_it() {
    let mut content = Content::default();
    content.manifest(REPOSITORY, "3.10", MANIFEST, &vec![b' '; 5 << 20]);
    let error = refused(content).await;
    assert!(matches!(error, RegistryError::Unexpected { .. }), "{error}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let image = ImageReference(format!("{}/{NAME}", listener.local_addr().unwrap()));
    drop(listener);
    let error = refusal(&RegistrySettings::default(), &image).await;
    let RegistryError::Unreachable { reason, .. } = error else { panic!("{error}") };
    assert!(reason.contains("refused"), "{reason}");
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_before_anybody_is_asked() {
    let (content, _) = two_architectures();
    let server = server(content).await;
    let registries = Registries::new(&settings(open(&server))).unwrap();
    for name in ["k8s/pause", "k8s/Pause:1", "k8s/../pause:1"] {
        let error = registries.resolve(&reference(&server, name), "amd64").await.unwrap_err();
        assert!(matches!(error, RegistryError::Name { .. }), "{error}");
    }
    assert!(server.asked().is_empty());
}
