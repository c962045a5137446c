// The MQTT source: a subscriber to one server, 3.1.1 or 5.0, that acknowledges only what is durable.
//
// Our own client, because the libraries in Debian acknowledge before their caller can commit. It connects, subscribes, and connects
// again with growing, jittered waits for ever. Thread: io. Bounds: one packet of max_packet and one read of 64 KiB in memory; while the
// Intake cannot accept it stops reading. Errors: every one closes the connection with a reason in the log, never the process.
#pragma once
#include <memory>
#include <string>

#include "agent/config/config.h"
#include "agent/source/source.h"

namespace boost::asio {
class io_context;
}

namespace rivulet::source {

std::unique_ptr<Source> make_mqtt_source(boost::asio::io_context& io, const config::MqttSource& settings, std::string name, std::string agent_id, Intake& intake);

namespace mqtt {
std::string describe_guarantee(const config::MqttSource& settings);
}

}  // namespace rivulet::source
