// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Several datacenters whose IMGAPIs know each other.

use super::{Datacenter, DatacenterBuilder, DatacenterError, Ports};

/// Maximum number of datacenters in a cloud.
const MAX: usize = 16;

/// A running cloud. Each datacenter has all services of its own; the accounts are the same.
#[derive(Debug)]
pub struct Cloud {
    datacenters: Vec<Datacenter>,
}

/// Settings of a cloud to be started.
#[derive(Debug, Clone)]
pub struct CloudBuilder {
    template: DatacenterBuilder,
    names: Vec<String>,
    ports: Ports,
}

impl Cloud {
    /// Creates a builder for datacenters with these names, at most 16. They follow `template` except for their names, directories
    /// and ports.
    pub fn builder(template: DatacenterBuilder, names: impl IntoIterator<Item = String>) -> CloudBuilder {
        CloudBuilder { template, names: names.into_iter().take(MAX).collect(), ports: Ports::Auto }
    }

    /// Returns the datacenters, in the order of their names in the builder.
    pub fn datacenters(&self) -> &[Datacenter] {
        &self.datacenters
    }

    /// Returns the datacenters mutably, in the order of their names in the builder.
    pub fn datacenters_mut(&mut self) -> &mut [Datacenter] {
        &mut self.datacenters
    }

    /// Stops all datacenters.
    pub async fn stop(self) {
        for datacenter in self.datacenters {
            datacenter.stop().await;
        }
    }
}

impl CloudBuilder {
    /// Sets how ports are chosen: free ports, or consecutive ones, datacenter after datacenter.
    #[must_use]
    pub fn ports(mut self, ports: Ports) -> Self {
        self.ports = ports;
        self
    }

    /// Starts all datacenters, one after the other.
    ///
    /// # Errors
    ///
    /// The errors of [`DatacenterBuilder::start`].
    pub async fn start(self) -> Result<Cloud, DatacenterError> {
        let mut places = Vec::new();
        for (index, name) in (0_u16..).zip(&self.names) {
            places.push((name, self.ports.of_datacenter(index)?.choose().await?));
        }
        let mut cloud = Cloud { datacenters: Vec::new() };
        for (name, addresses) in &places {
            let mut builder = self.template.clone().name(name.as_str());
            if self.names.len() > 1 {
                builder = builder.below_data_dir(name);
            }
            for (other, at) in places.iter().filter(|(other, _)| other != name) {
                builder = builder.peer(other.as_str(), format!("http://{}", at.imgapi));
            }
            match builder.start_at(*addresses).await {
                Ok(datacenter) => cloud.datacenters.push(datacenter),
                Err(error) => {
                    cloud.stop().await;
                    return Err(error);
                }
            }
        }
        Ok(cloud)
    }
}
