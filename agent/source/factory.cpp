#include "agent/source/factory.h"

#include <boost/asio/io_context.hpp>
#include <type_traits>
#include <variant>

#include "agent/base/check.h"
#include "agent/source/exec/exec_source.h"
#include "agent/source/can/can_source.h"
#include "agent/source/file/batch_source.h"
#include "agent/source/file/file_source.h"
#include "agent/source/iio/iio_source.h"
#include "agent/source/http/http_source.h"
#include "agent/source/kafka/kafka_source.h"
#include "agent/source/modbus/modbus_source.h"
#include "agent/source/mqtt/mqtt_source.h"
#include "agent/source/serial/serial_source.h"
#include "agent/source/simulate/simulate_source.h"
#include "agent/source/stdin/stdin_source.h"
#include "agent/source/tcp/tcp_source.h"
#include "agent/source/udp/udp_source.h"
#include "agent/source/unix/unix_source.h"

namespace rivulet::source {

std::unique_ptr<Source> make_source(boost::asio::io_context& io, const config::Source& source, const std::string& agent_id,
                                    Intake& intake, const kafka::Connection* connection) {
  return std::visit(
      [&](const auto& type) -> std::unique_ptr<Source> {
        using Type = std::decay_t<decltype(type)>;
        if constexpr (std::is_same_v<Type, config::MqttSource>) {
          return make_mqtt_source(io, type, source.name, agent_id, intake);
        } else if constexpr (std::is_same_v<Type, config::TcpSource>) {
          return std::make_unique<TcpSource>(io, type, source.name, intake);
        } else if constexpr (std::is_same_v<Type, config::UdpSource>) {
          return std::make_unique<UdpSource>(io, type, source.name, intake);
        } else if constexpr (std::is_same_v<Type, config::UnixSource>) {
          return make_unix_source(io, type, source.name, intake);
        } else if constexpr (std::is_same_v<Type, config::ModbusSource>) {
          return std::make_unique<ModbusSource>(io, type, source.name, intake);
        } else if constexpr (std::is_same_v<Type, config::CanSource>) {
          return std::make_unique<CanSource>(io, type, source.name, intake);
        } else if constexpr (std::is_same_v<Type, config::HttpSource>) {
          return std::make_unique<HttpSource>(io, type, source.decode.kind, source.name, intake);
        } else if constexpr (std::is_same_v<Type, config::FileSource>) {
          if (type.compression != config::FileSource::Compression::none) return std::make_unique<BatchSource>(io, type, source.name, intake);
          return std::make_unique<FileSource>(io, type, source.name, intake);
        } else if constexpr (std::is_same_v<Type, config::StdinSource>) {
          return std::make_unique<StdinSource>(io, type, source.name, intake);
        } else if constexpr (std::is_same_v<Type, config::ExecSource>) {
          return std::make_unique<ExecSource>(io, type, source.name, intake);
        } else if constexpr (std::is_same_v<Type, config::SerialSource>) {
          return std::make_unique<SerialSource>(io, type, source.name, intake);
        } else if constexpr (std::is_same_v<Type, config::IioSource>) {
          return std::make_unique<IioSource>(io, type, source.name, intake);
        } else if constexpr (std::is_same_v<Type, config::KafkaSource>) {
          RV_CHECK(connection != nullptr, "a configuration with a kafka source has a kafka section");
          return std::make_unique<KafkaSource>(io, type, source.name, *connection, intake);
        } else {
          static_assert(std::is_same_v<Type, config::SimulateSource>);
          return std::make_unique<SimulateSource>(io, type, source.name, intake);
        }
      },
      source.type);
}

std::string guarantee(const config::Source& source) {
  return std::visit(
      [](const auto& type) {
        if constexpr (std::is_same_v<std::decay_t<decltype(type)>, config::MqttSource>) {
          return mqtt::describe_guarantee(type);
        } else {
          return describe_guarantee(type);
        }
      },
      source.type);
}

}  // namespace rivulet::source
