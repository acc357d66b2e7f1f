#include "net/io_local.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>

#include "net/send_batch.h"

namespace gantry::net {
namespace {

constexpr size_t max_spare_small = 256;  // 1 MiB for each thread
constexpr size_t max_spare_large = 16;   // 1 MiB for each thread
constexpr size_t max_events = 128;       // in one batch; then other work of the thread gets its turn

}  // namespace

Timed::Timed(IoLocal& local) : local_(local) { local_.link(*this); }
Timed::~Timed() { local_.unlink(*this); }

void Timed::set_wake(SteadyTime at) {
  wake_ = at;
  if (at < local_.next_sweep_) local_.wake_by(at);
}

// SAFETY of the casts: services of this kind are only made by `of`, which passes an io_context.
IoLocal::IoLocal(asio::execution_context& context)
    : service(context),
      epoll_(std::make_unique<Descriptor>(static_cast<asio::io_context&>(context))),
      sends_(std::make_unique<SendBatch>()),
      timer_(std::make_unique<Timer>(static_cast<asio::io_context&>(context))) {
  int fd = ::epoll_create1(EPOLL_CLOEXEC);
  GANTRY_CHECK(fd >= 0);
  epoll_->assign(fd);
}

IoLocal& IoLocal::of(const Executor& executor) { return asio::use_service<IoLocal>(executor.context()); }

IoLocal::~IoLocal() = default;

void IoLocal::shutdown() {
  sends_->drop();
  timer_.reset();
  epoll_.reset();
}

Result<void> IoLocal::watch(int fd, Watched& watched) {
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = &watched}};
  // SAFETY: the kernel copies the event; `watched` calls unwatch before it dies.
  if (::epoll_ctl(epoll_->native_handle(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("watch a socket");
  ++watched_;
  if (!awaiting_) await_events();
  return {};
}

void IoLocal::unwatch(int fd) {
  if (epoll_ == nullptr) return;  // the io_context is going away
  // SAFETY: a descriptor that is still open and was added.
  ::epoll_ctl(epoll_->native_handle(), EPOLL_CTL_DEL, fd, nullptr);
  // A pending wait would keep an io_context running that has nothing else to do.
  if (--watched_ == 0) epoll_->cancel();
}

void IoLocal::await_events() {
  awaiting_ = true;
  epoll_->async_wait(Descriptor::wait_read, [this](const boost::system::error_code& error) {
    awaiting_ = false;
    if (!error) dispatch_events();
    if (watched_ > 0 && !awaiting_) await_events();
  });
}

void IoLocal::dispatch_events() {
  std::array<epoll_event, max_events> events;
  // SAFETY: the array has that many elements.
  int count = ::epoll_wait(epoll_->native_handle(), events.data(), static_cast<int>(events.size()), 0);
  std::span<epoll_event> batch(events.data(), static_cast<size_t>(std::max(count, 0)));
  // SAFETY: every pointer was given to `watch`, and `unwatch` removes its events from epoll.
  auto of = [](const epoll_event& event) { return static_cast<Watched*>(event.data.ptr); };
  for (const epoll_event& event : batch) of(event)->hold();
  for (const epoll_event& event : batch) {
    of(event)->on_ready(event.events);
    of(event)->let_go();
  }
}

void IoLocal::link(Timed& timed) {
  timed.next_ = first_;
  if (first_ != nullptr) first_->previous_ = &timed;
  first_ = &timed;
}

void IoLocal::unlink(Timed& timed) {
  if (cursor_ == &timed) cursor_ = timed.next_;
  if (timed.previous_ != nullptr) timed.previous_->next_ = timed.next_;
  if (timed.next_ != nullptr) timed.next_->previous_ = timed.previous_;
  if (first_ == &timed) first_ = timed.next_;
  // Nobody waits any more: a pending timer would keep an io_context running that has nothing else to do.
  if (first_ == nullptr && timer_ != nullptr && !sweeping_) {
    next_sweep_ = SteadyTime::max();
    timer_->cancel();
  }
}

void IoLocal::wake_by(SteadyTime at) {
  if (sweeping_) {
    next_sweep_ = at;
    return;
  }
  // Not sooner than one interval from now: many short deadlines must not make the sweep hot.
  SteadyTime soonest = now() + sweep_interval;
  at = std::max(at, soonest);
  if (at < next_sweep_) arm(at);
}

void IoLocal::arm(SteadyTime at) {
  next_sweep_ = at;
  if (timer_ == nullptr) return;
  timer_->expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(at));
  timer_->async_wait([this](const boost::system::error_code& error) {
    if (!error) sweep();
  });
}

void IoLocal::sweep() {
  SteadyTime time = now();
  sweeping_ = true;
  next_sweep_ = SteadyTime::max();
  for (cursor_ = first_; cursor_ != nullptr;) {
    Timed& timed = *cursor_;
    cursor_ = timed.next_;
    if (timed.wake_ <= time) {
      timed.wake_ = SteadyTime::max();
      timed.on_deadline(time);  // `timed` may be gone now
    } else {
      next_sweep_ = std::min(next_sweep_, timed.wake_);
    }
  }
  sweeping_ = false;
  if (first_ == nullptr) next_sweep_ = SteadyTime::max();
  if (next_sweep_ != SteadyTime::max()) arm(std::max(next_sweep_, now() + sweep_interval));
}

Buffer IoLocal::take_buffer(size_t capacity) {
  bool is_small = capacity <= small_buffer_bytes;
  std::vector<Buffer>& spare = is_small ? small_ : large_;
  if (capacity <= large_buffer_bytes) {
    if (!spare.empty()) {
      Buffer buffer = std::move(spare.back());
      spare.pop_back();
      return buffer;
    }
    capacity = is_small ? small_buffer_bytes : large_buffer_bytes;
  }
  return Buffer{std::make_unique_for_overwrite<char[]>(capacity), capacity, 0};
}

void IoLocal::give_buffer(Buffer buffer) {
  buffer.size = 0;
  if (buffer.capacity == small_buffer_bytes && small_.size() < max_spare_small)
    small_.push_back(std::move(buffer));
  else if (buffer.capacity == large_buffer_bytes && large_.size() < max_spare_large)
    large_.push_back(std::move(buffer));
}

std::string_view IoLocal::date(Clock& clock) {
  auto second = std::chrono::floor<std::chrono::seconds>(clock.now());
  if (int64_t count = second.time_since_epoch().count(); count != date_second_) {
    date_second_ = count;
    auto day = std::chrono::floor<std::chrono::days>(second);
    std::chrono::year_month_day date(day);
    std::chrono::hh_mm_ss time(second - day);
    constexpr std::array days = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    date_ = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", days[std::chrono::weekday(day).c_encoding()],
                        static_cast<unsigned>(date.day()), months[static_cast<unsigned>(date.month()) - 1],
                        static_cast<int>(date.year()), time.hours().count(), time.minutes().count(),
                        time.seconds().count());
  }
  return date_;
}

}  // namespace gantry::net
