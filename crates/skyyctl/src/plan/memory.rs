//! An API server made of objects in memory, which answers reads and refuses everything else.
//!
//! The operator's own kinds look at the world through a Kubernetes client. Behind this one there is nothing that could
//! be changed, so whatever they decide here is only said.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use futures::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};
use kube::{Client, Resource, client::Body};
use serde::Serialize;
use serde_json::{Value, json};

use crate::world::{Objects, World};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Objects as the API server would give them, by the plural of their kind.
type Lists = BTreeMap<String, Vec<Value>>;

/// A client of an API server that has these objects, and takes no writes.
pub(super) fn client(world: &World) -> Result<Client, serde_json::Error> {
    let lists = Arc::new(lists(world)?);
    let service = tower::service_fn(move |request: Request<Body>| {
        let lists = lists.clone();
        async move { Ok::<_, Infallible>(answer(&lists, request.method(), request.uri())) }
    });
    Ok(Client::new(service, "default"))
}

fn lists(world: &World) -> Result<Lists, serde_json::Error> {
    fn list<K>(objects: &Objects<K>, lists: &mut Lists) -> Result<(), serde_json::Error>
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let values = objects.values().map(|object| {
            let mut value = serde_json::to_value(object)?;
            value["metadata"]["resourceVersion"] = json!("1");
            Ok(value)
        });
        lists.insert(K::plural(&()).into_owned(), values.collect::<Result<_, _>>()?);
        Ok(())
    }
    let World {
        proxmox_clusters,
        proxmox_hosts,
        deployments,
        firewalls,
        firewall_rules,
        virtual_ips,
        nat_mappings,
        dhcp_reservations,
        address_pools,
        address_claims,
        ceph_clusters,
        ceph_pools,
        secrets,
        namespaces,
        config_maps,
    } = world;
    let mut lists = Lists::new();
    list(proxmox_clusters, &mut lists)?;
    list(proxmox_hosts, &mut lists)?;
    list(deployments, &mut lists)?;
    list(firewalls, &mut lists)?;
    list(firewall_rules, &mut lists)?;
    list(virtual_ips, &mut lists)?;
    list(nat_mappings, &mut lists)?;
    list(dhcp_reservations, &mut lists)?;
    list(address_pools, &mut lists)?;
    list(address_claims, &mut lists)?;
    list(ceph_clusters, &mut lists)?;
    list(ceph_pools, &mut lists)?;
    list(secrets, &mut lists)?;
    list(namespaces, &mut lists)?;
    list(config_maps, &mut lists)?;
    Ok(lists)
}

fn answer(lists: &Lists, method: &Method, uri: &http::Uri) -> Answer {
    if method != Method::GET {
        return status(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed");
    }
    let query = uri.query().unwrap_or_default();
    let parameter = |name: &str| {
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
    };
    if matches!(parameter("watch"), Some("true" | "1")) {
        // Nothing ever changes here.
        let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        return Response::new(never.boxed_unsync());
    }
    // /api/v1/…, /apis/GROUP/VERSION/…, with namespaces/NS before the plural where there is one.
    let mut parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    parts.drain(..parts.len().min(if parts.first() == Some(&"api") { 2 } else { 3 }));
    let namespace = match parts.as_slice() {
        ["namespaces", namespace, _, ..] => {
            let namespace = (*namespace).to_owned();
            parts.drain(..2);
            Some(namespace)
        }
        _ => None,
    };
    let Some(objects) = parts.first().and_then(|plural| lists.get(*plural)) else {
        return status(StatusCode::NOT_FOUND, "NotFound");
    };
    let text = |object: &Value, key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    let here =
        objects.iter().filter(|object| namespace.as_ref().is_none_or(|ns| text(object, "namespace") == *ns));
    if let Some(name) = parts.get(1) {
        let found = here.into_iter().find(|object| text(object, "name") == *name);
        return found.map_or_else(
            || status(StatusCode::NOT_FOUND, "NotFound"),
            |object| body(StatusCode::OK, object),
        );
    }
    let named = parameter("fieldSelector").and_then(|selector| {
        selector.strip_prefix("metadata.name%3D").or_else(|| selector.strip_prefix("metadata.name="))
    });
    let items: Vec<&Value> =
        here.filter(|object| named.is_none_or(|name| text(object, "name") == name)).collect();
    body(
        StatusCode::OK,
        &json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "1" }, "items": items }),
    )
}

fn status(code: StatusCode, reason: &str) -> Answer {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code.as_u16(),
        "message": "a plan changes nothing", "metadata": {},
    });
    body(code, &status)
}

fn body(code: StatusCode, value: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync());
    *answer.status_mut() = code;
    answer
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::{
        Api,
        api::{ListParams, PostParams},
    };
    use serde_json::json;
    use skyy_api::{AddressPool, VirtualIp};

    use super::*;

    fn world() -> World {
        let mut world = World::default();
        for name in ["a", "b"] {
            for namespace in ["one", "two"] {
                let secret = json!({"apiVersion": "v1", "kind": "Secret",
                    "metadata": {"name": name, "namespace": namespace}, "stringData": {"k": "v"}});
                assert!(world.insert(&secret).unwrap());
            }
        }
        let vip = json!({"apiVersion": "skyy.helloskyy.io/v1alpha1", "kind": "VirtualIP",
            "metadata": {"name": "v", "namespace": "one"},
            "spec": {"firewall": "edge", "address": "198.18.0.2/23", "interface": "wan"}});
        assert!(world.insert(&vip).unwrap());
        world
    }

    #[tokio::test]
    async fn objects_are_listed_and_found() {
        let client = client(&world()).unwrap();
        let secrets = Api::<Secret>::namespaced(client.clone(), "one");
        assert_eq!(secrets.list(&ListParams::default()).await.unwrap().items.len(), 2);
        assert_eq!(
            secrets.list(&ListParams::default().fields("metadata.name=b")).await.unwrap().items.len(),
            1
        );
        assert_eq!(
            Api::<Secret>::all(client.clone()).list(&ListParams::default()).await.unwrap().items.len(),
            4
        );
        assert!(secrets.get_opt("b").await.unwrap().is_some());
        assert!(secrets.get_opt("c").await.unwrap().is_none());
        assert_eq!(
            Api::<VirtualIp>::all(client.clone()).list(&ListParams::default()).await.unwrap().items.len(),
            1
        );
        assert!(Api::<AddressPool>::all(client).list(&ListParams::default()).await.unwrap().items.is_empty());
    }

    #[tokio::test]
    async fn nothing_can_be_written() {
        let client = client(&world()).unwrap();
        let secrets = Api::<Secret>::namespaced(client, "one");
        let refused = secrets.create(&PostParams::default(), &Secret::default()).await.unwrap_err();
        assert!(matches!(refused, kube::Error::Api(status) if status.code == 405));
        assert!(secrets.delete("a", &kube::api::DeleteParams::default()).await.is_err());
        assert!(secrets.get_opt("a").await.unwrap().is_some());
    }
}
