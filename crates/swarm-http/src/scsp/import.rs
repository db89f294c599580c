//! What another cluster's feeds ask: to take a version or a delete, what is here, to hand something out.
//!
//! The words of it are `swarm_feeds::wire`'s. Administrators only, but for what is handed out to whoever has a ticket.

use swarm_feeds::wire::{
    Import, Route, WireError, encode_fetched, encode_held, read_delete, read_fetch, read_import,
    read_probe,
};
use swarm_node::api::Reply;
use swarm_node::{ImportRequest, Stay};
use swarm_types::HeaderList;

use super::blocks::{self, Here};
use super::{Call, NodeBody, Scsp, Verb};
use crate::codec::{Body, FieldBlock, Framing, Response};
use crate::status::{self, Fault};

impl Scsp {
    /// Answers another cluster.
    pub(super) async fn replicate(&self, call: Call) -> Result<Response, Fault> {
        match call.verb {
            Verb::Post | Verb::Put => self.import(call).await,
            Verb::Head => self.probe(call).await,
            Verb::Delete => self.import_delete(call).await,
            Verb::Get if call.is_fetch() => self.hand_out(call).await,
            Verb::Get => self.retrieve(call).await,
            verb => Err(Fault::BadReplication(format!("{} is no verb of feeds.", verb.name()))),
        }
    }

    async fn import(&self, mut call: Call) -> Result<Response, Fault> {
        let (path, query) = (&call.target.raw_path, &call.target.raw_query);
        let read = read_import(path, query, &header_list(&call));
        let (route, import): (Route, Import) = read.map_err(bad)?;
        let length = import.meta.length;
        if matches!(call.head.framing(), Framing::Length(announced) if announced != length) {
            let why = "The body has another length than the version.";
            return Err(Fault::BadReplication(why.to_owned()));
        }
        let request = ImportRequest { route, import, nonce: call.nonce(), stay: Stay::IfNear };
        let mut session = match self.node.begin_import(request).await.map_err(Fault::Write)? {
            Reply::Served(session) => session,
            Reply::Redirect(redirect) => return Ok(self.redirect(&redirect, &call)),
        };
        // As in a client's write; but what a proxy has made chunks of is no request for erasure coding.
        while let Some(piece) = call.body.next().await.map_err(Fault::Body)? {
            session.write(piece).await.map_err(Fault::Write)?;
        }
        let reply = session.finish().await.map_err(Fault::Write)?;
        let here = Here {
            cluster: self.node.config().cluster.as_str(),
            port: self.node.config().scsp_port,
        };
        let path = blocks::path(&call.target.place, None);
        let block = blocks::written(&reply, &path, here);
        Ok(status::created(block, reply.replaced, self.node.env().wall()))
    }

    async fn probe(&self, call: Call) -> Result<Response, Fault> {
        let (path, query) = (&call.target.raw_path, &call.target.raw_query);
        let (route, identity) = read_probe(path, query, &header_list(&call)).map_err(bad)?;
        self.node.check_target(&route).map_err(Fault::Write)?;
        let held = self.node.probe(&identity).await.map_err(Fault::Write)?;
        Ok(status::ok(block(&encode_held(held)), Body::Empty, self.node.env().wall()))
    }

    async fn import_delete(&self, call: Call) -> Result<Response, Fault> {
        let read = read_delete(&call.target.raw_query, &header_list(&call));
        let (route, deletion) = read.map_err(bad)?;
        match self.node.import_delete(&route, deletion).await.map_err(Fault::Write)? {
            Reply::Served(()) => {
                Ok(status::ok(FieldBlock::new(), Body::Empty, self.node.env().wall()))
            }
            Reply::Redirect(redirect) => Ok(self.redirect(&redirect, &call)),
        }
    }

    async fn hand_out(&self, call: Call) -> Result<Response, Fault> {
        let (path, query) = (&call.target.raw_path, &call.target.raw_query);
        let (route, asked, ticket) = read_fetch(path, query, &header_list(&call)).map_err(bad)?;
        let handed = self.node.hand_out(&route, &asked, ticket).await.map_err(Fault::Read)?;
        let fields = block(&encode_fetched(&handed.identity, &handed.meta, handed.stamp));
        let body = match handed.meta.length {
            0 => Body::Empty,
            length => Body::Sized(length, Box::new(NodeBody(handed.body))),
        };
        Ok(status::ok(fields, body, self.node.env().wall()))
    }
}

/// What makes no sense in a request of another cluster.
pub(super) fn bad(error: WireError) -> Fault {
    Fault::BadReplication(format!("{error}."))
}

/// The fields of a request as feeds read them.
fn header_list(call: &Call) -> HeaderList {
    let mut list = HeaderList::default();
    for (name, value) in call.head.fields().iter() {
        list.push(name, bytes::Bytes::copy_from_slice(value));
    }
    list
}

fn block(fields: &HeaderList) -> FieldBlock {
    let mut block = FieldBlock::new();
    for field in fields.iter() {
        block.push(&field.name, &field.value);
    }
    block
}
