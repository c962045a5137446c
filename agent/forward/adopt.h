// adopt(): an operator's decision, for `rivulet adopt`, with the agent stopped.
//
// The forwarder stops with an alarm when the progress topic shows another agent, a copy of this store, or another cluster.
// After adopt() the next start accepts the progress topic as it is: what is under way is judged by the progress record
// alone, the witness moves to the topic's present end, and forwarding goes on. Used up by that start.
// Thread: any that may call Store's forward methods while no Forwarder runs.
#pragma once
#include "store/store.h"

namespace rivulet::forward {

result<void> adopt(store::Store& store);

// What is stored about forwarding, one line each, for the operator to look at before deciding.
result<std::string> describe(store::Store& store);

}  // namespace rivulet::forward
