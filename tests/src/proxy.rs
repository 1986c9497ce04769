//! A wire between a process and a server that can be cut.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Passes connections on to a server, until it is cut.
pub struct Proxy {
    address: SocketAddr,
    wires: Arc<Mutex<Wires>>,
}

/// The connections that are open.
#[derive(Default)]
struct Wires {
    is_cut: bool,
    next: u64,
    open: HashMap<u64, [TcpStream; 2]>,
}

impl Proxy {
    /// One before the server at `host:port`.
    ///
    /// # Errors
    /// Without a free port.
    pub fn before(upstream: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let wires = Arc::<Mutex<Wires>>::default();
        let (shared, upstream) = (wires.clone(), upstream.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (shared, upstream) = (shared.clone(), upstream.clone());
                std::thread::spawn(move || pass_on(&client, &upstream, &shared));
            }
        });
        Ok(Self { address, wires })
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Closes all connections, and every new one.
    pub fn cut(&self) {
        let mut wires = lock(&self.wires);
        wires.is_cut = true;
        for end in wires.open.drain().flat_map(|(_, ends)| ends) {
            // It may be closed already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        lock(&self.wires).is_cut = false;
    }
}

fn lock(wires: &Mutex<Wires>) -> MutexGuard<'_, Wires> {
    wires.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass_on(client: &TcpStream, upstream: &str, wires: &Mutex<Wires>) -> std::io::Result<()> {
    if lock(wires).is_cut {
        return client.shutdown(Shutdown::Both);
    }
    let server = TcpStream::connect(upstream)?;
    for end in [client, &server] {
        end.set_nodelay(true)?;
    }
    let number = {
        let mut wires = lock(wires);
        if wires.is_cut {
            return client.shutdown(Shutdown::Both);
        }
        wires.next += 1;
        let number = wires.next;
        wires.open.insert(number, [client.try_clone()?, server.try_clone()?]);
        number
    };
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    let back = std::thread::spawn(move || {
        // A side that ends tells the other one; a wire that was cut fails.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut &*client, &mut &server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
    lock(wires).open.remove(&number);
    Ok(())
}
