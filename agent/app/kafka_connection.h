// The configuration's kafka section as the kafka room takes it.
#pragma once
#include "agent/config/config.h"
#include "agent/kafka/connection.h"

namespace rivulet::app {

kafka::Connection connection_of(const config::Kafka& kafka, const std::string& client_id);

}  // namespace rivulet::app
