// MqttWriter: publishes at an MQTT server, 3.1.1 or 5.0, plain or TLS, and counts as delivered what has its PUBACK: at least once.
//
// open() connects and waits for the CONNACK, deliver() until all of a stretch has its PUBACK or, for kAnswer, nothing came and the server took nothing; between them the
// worker runs the io_context, so that pings go out and a connection that ends is noticed (ready() is false then).
// Thread: its worker's, which runs `io`. Bounds: a read of 16 KiB, a packet of 64 KiB (a publisher gets small ones), what publisher.h says, and
// about 64 KiB to send. Errors and the rest: writer.h.
#pragma once
#include <memory>
#include <string>

#include "agent/base/clock.h"
#include "agent/config/output.h"
#include "agent/sink/writer.h"

namespace boost::asio {
class io_context;
}

namespace rivulet::sink {

std::unique_ptr<Writer> make_mqtt_writer(boost::asio::io_context& io, const config::MqttOutput& settings, std::string client_id, const std::atomic<bool>& stop);

}  // namespace rivulet::sink
