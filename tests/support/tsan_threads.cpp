// C11's threads, mutexes and conditions by way of pthread's, in TSan builds only (tests/CMakeLists.txt).
//
// Debian's librdkafka makes its threads with thrd_create. glibc's calls its own pthread_create from inside, where TSan (gcc 12 and 14)
// does not see it: the new thread has no TSan state and the process crashes. These take the place of glibc's for the whole
// process, as the executable's symbols come first. glibc's mtx_t and cnd_t are pthread's mutex and condition (it asserts the
// same size and alignment, and so does this file). The manual: ISO C11 section 7.26.
#include <pthread.h>
#include <threads.h>

#include <cerrno>
#include <cstdint>
#include <memory>

static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && alignof(mtx_t) == alignof(pthread_mutex_t));
static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t) && alignof(cnd_t) == alignof(pthread_cond_t));

// libCatch2's copy of this inline function is not instrumented, and the linker took it for the whole program: TSan then saw no order between the
// last two owners of a shared state and called each std::promise a race. Objects come before libraries: this copy is taken.
[[gnu::used]] static void (std::_Sp_counted_base<__gnu_cxx::_S_atomic>::*const kInstrumented)() noexcept = &std::_Sp_counted_base<__gnu_cxx::_S_atomic>::_M_release;

namespace {

pthread_mutex_t* of(mtx_t* mutex) { return reinterpret_cast<pthread_mutex_t*>(mutex); }
pthread_cond_t* of(cnd_t* condition) { return reinterpret_cast<pthread_cond_t*>(condition); }

int answer(int error) {
  switch (error) {
    case 0: return thrd_success;
    case EBUSY: return thrd_busy;
    case ENOMEM: case EAGAIN: return thrd_nomem;
    case ETIMEDOUT: return thrd_timedout;
    default: return thrd_error;
  }
}

struct Start {
  thrd_start_t function;
  void* argument;
};

void* begin(void* given) {
  const Start start = *std::unique_ptr<Start>(static_cast<Start*>(given));
  return reinterpret_cast<void*>(static_cast<std::intptr_t>(start.function(start.argument)));
}

}  // namespace

extern "C" {

int thrd_create(thrd_t* thread, thrd_start_t function, void* argument) {
  auto start = std::make_unique<Start>(Start{function, argument});
  const int error = pthread_create(thread, nullptr, begin, start.get());
  if (error == 0) (void)start.release();
  return answer(error);
}
int thrd_join(thrd_t thread, int* result) {
  void* value = nullptr;
  const int error = pthread_join(thread, &value);
  if (error == 0 && result != nullptr) *result = static_cast<int>(reinterpret_cast<std::intptr_t>(value));
  return answer(error);
}
int thrd_detach(thrd_t thread) { return answer(pthread_detach(thread)); }

int mtx_init(mtx_t* mutex, int type) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, (type & mtx_recursive) != 0 ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
  const int error = pthread_mutex_init(of(mutex), &attributes);
  pthread_mutexattr_destroy(&attributes);
  return answer(error);
}
int mtx_lock(mtx_t* mutex) { return answer(pthread_mutex_lock(of(mutex))); }
int mtx_trylock(mtx_t* mutex) { return answer(pthread_mutex_trylock(of(mutex))); }
int mtx_timedlock(mtx_t* mutex, const timespec* until) { return answer(pthread_mutex_timedlock(of(mutex), until)); }
int mtx_unlock(mtx_t* mutex) { return answer(pthread_mutex_unlock(of(mutex))); }
void mtx_destroy(mtx_t* mutex) { pthread_mutex_destroy(of(mutex)); }

int cnd_init(cnd_t* condition) { return answer(pthread_cond_init(of(condition), nullptr)); }
int cnd_signal(cnd_t* condition) { return answer(pthread_cond_signal(of(condition))); }
int cnd_broadcast(cnd_t* condition) { return answer(pthread_cond_broadcast(of(condition))); }
int cnd_wait(cnd_t* condition, mtx_t* mutex) { return answer(pthread_cond_wait(of(condition), of(mutex))); }
int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const timespec* until) {
  return answer(pthread_cond_timedwait(of(condition), of(mutex), until));
}
void cnd_destroy(cnd_t* condition) { pthread_cond_destroy(of(condition)); }

}  // extern "C"
