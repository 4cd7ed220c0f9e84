// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A DNS server with a few records.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio_util::sync::{CancellationToken, DropGuard};

type Records = Arc<Mutex<HashMap<(Name, RecordType), Vec<RData>>>>;

pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    records: Records,
    _stop: DropGuard,
}

impl DnsServer {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let records = Records::default();
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(socket, Arc::clone(&records))));
        Self { address, records, _stop: stop.drop_guard() }
    }

    pub(crate) fn set_a(&self, name: &str, ips: &[Ipv4Addr]) {
        let data = ips.iter().map(|ip| RData::A(A(*ip))).collect();
        self.set(name, RecordType::A, data);
    }

    /// Sets the SRV records of a name to these ports and targets.
    pub(crate) fn set_srv(&self, name: &str, targets: &[(u16, &str)]) {
        let data = targets
            .iter()
            .map(|(port, target)| RData::SRV(SRV::new(0, 10, *port, Name::from_ascii(target).unwrap())));
        self.set(name, RecordType::SRV, data.collect());
    }

    fn set(&self, name: &str, kind: RecordType, data: Vec<RData>) {
        self.records.lock().unwrap().insert((Name::from_ascii(name).unwrap(), kind), data);
    }
}

async fn serve(socket: UdpSocket, records: Records) {
    let mut buffer = [0; 4096];
    loop {
        let (len, peer) = socket.recv_from(&mut buffer).await.unwrap();
        let answer = answer(&Message::from_vec(&buffer[..len]).unwrap(), &records);
        socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
    }
}

fn answer(request: &Message, records: &Records) -> Message {
    let mut answer = Message::new(request.metadata.id, MessageType::Response, OpCode::Query);
    let query = request.queries[0].clone();
    let records = records.lock().unwrap();
    match records.get(&(query.name().clone(), query.query_type())) {
        Some(data) => {
            let ttl = 30;
            let of = |data: &RData| Record::from_rdata(query.name().clone(), ttl, data.clone());
            answer.add_answers(data.iter().map(of).collect::<Vec<_>>());
        }
        None if records.keys().any(|(name, _)| name == query.name()) => {}
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.add_query(query);
    answer
}
