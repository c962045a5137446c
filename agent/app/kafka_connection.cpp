#include "agent/app/kafka_connection.h"

namespace rivulet::app {

kafka::Connection connection_of(const config::Kafka& kafka, const std::string& client_id) {
  kafka::Connection connection;
  connection.brokers = kafka.brokers;
  connection.extra = kafka.librdkafka;
  connection.client_id = client_id;
  if (kafka.tls) {
    connection.tls.emplace();
    connection.tls->ca = kafka.tls->ca;
    connection.tls->certificate = kafka.tls->certificate;
    connection.tls->key = kafka.tls->key;
    connection.tls->verify = kafka.tls->verify;
  }
  if (kafka.sasl) {
    connection.sasl.emplace();
    connection.sasl->mechanism = kafka.sasl->mechanism;
    connection.sasl->username = kafka.sasl->username;
    connection.sasl->password = kafka.sasl->password.reveal();
  }
  return connection;
}

}  // namespace rivulet::app
