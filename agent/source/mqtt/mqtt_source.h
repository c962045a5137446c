// The MQTT source: a subscriber to one server, 3.1.1 or 5.0, that acknowledges only what is durable.
//
// Our own client, because the libraries in Debian acknowledge before their caller can commit. It connects, subscribes, and connects
// again with growing, jittered waits for ever. Thread: io. Bounds: one packet of max_packet and one read of 64 KiB in memory; acknowledgements
// that the server does not read: beyond 256 KiB nothing is read either, and they are about 1 MiB at most. While
// the Intake cannot accept it does not read, for every QoS, so the server's queue fills and its limits decide (max_queued_messages
// drops in silence). Pings go out meanwhile, so the server keeps the connection; that the server is gone is then noticed
// when reading goes on. Errors: every one closes the connection with a reason in the log, never the process; one line when the
// link goes, one for each new reason while it is away, one when it is back.
#pragma once
#include <memory>
#include <string>

#include "agent/config/source.h"
#include "agent/source/source.h"

namespace boost::asio {
class io_context;
}

namespace rivulet::source {

std::unique_ptr<Source> make_mqtt_source(boost::asio::io_context& io, const config::MqttSource& settings, std::string name, std::string agent_id, Intake& intake);

namespace mqtt {

// What `rivulet explain` says: the guarantee of this QoS and what to check at the server.
std::string describe_guarantee(const config::MqttSource& settings);

// Some topic matches both filters (MQTT 5.0 section 4.7); a server may then deliver it twice (section 3.3.4).
bool filters_overlap(std::string_view a, std::string_view b);

}  // namespace mqtt
}  // namespace rivulet::source
