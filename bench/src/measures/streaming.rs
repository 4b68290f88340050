//! That memory stays flat while an object passes through that is larger than any buffer.

use http::Method;

use super::{Setting, create_bucket, noise};
use crate::client::{Connection, Cover, Payload, Requests, runtime};
use crate::failure::Result;
use crate::machine;
use crate::report::{Row, mebibytes, number};

const MIB: u64 = 1 << 20;
/// What buffers, and the threads that fill them, may take.
const ALLOWANCE: f64 = 16.0;

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let cloud = setting.cloud("streaming")?;
    let requests = Requests::to(cloud.address)?;
    create_bucket(&cloud, &requests, "/bench")?;
    let size = setting.large_object / MIB;
    let content = Payload::repeat(noise(MIB as usize), size);
    // The first requests of a process also load code.
    let warm = Payload::repeat(noise(MIB as usize), 4);
    runtime()?.block_on(async {
        let mut connection = Connection::open(cloud.address).await?;
        let mut grown = async |method: Method, target: &str, body: Payload| -> Result<f64> {
            let before = machine::resident(cloud.pid())?;
            machine::forget_peak(cloud.pid())?;
            let request = requests.s3(method, target, body, Cover::Head)?;
            connection.drain(request).await?;
            Ok(mebibytes(
                machine::peak(cloud.pid())?.saturating_sub(before),
            ))
        };
        grown(Method::PUT, "/bench/warm", warm).await?;
        grown(Method::GET, "/bench/warm", Payload::default()).await?;
        let put = grown(Method::PUT, "/bench/large", content).await?;
        let get = grown(Method::GET, "/bench/large", Payload::default()).await?;
        let title = |verb| format!("memory that a {verb} of {} MiB adds", number(size as f64));
        Ok(vec![
            Row::at_most(&title("PUT"), put, ALLOWANCE, "MiB"),
            Row::at_most(&title("GET"), get, ALLOWANCE, "MiB"),
        ])
    })
}
