#include "sandbox/sandbox_fake.h"

#include "sandbox/suite_host.h"

namespace gantry::sandbox {
namespace {

// Tasks of the fake never wait, so one io_context is enough.
template <class T>
T run(Task<T> task) {
  asio::io_context context;
  auto result = asio::co_spawn(context, std::move(task), asio::use_future);
  context.run();
  return result.get();
}

Spec spec_of(Clock& clock, Random& random) {
  Spec spec;
  spec.id = InstanceId::make(clock, random);
  spec.name = "bot";
  return spec;
}

TEST(FakeDriver, StartsFailsAndEndsAsToldTo) {
  ManualClock clock;
  SeededRandom random(1);
  FakeDriver driver(clock);
  driver.fail_next_start(Error(ErrorId::GR0302, "no such file"));
  EXPECT_EQ(run(driver.start(spec_of(clock, random))).error().id(), ErrorId::GR0302);
  driver.end_next_start({.reason = ExitReason::exited, .code = 3});
  EXPECT_EQ((*run(driver.start(spec_of(clock, random))))->exited()->describe(), "exit 3");
  EXPECT_TRUE(driver.running().empty());
  auto box = *run(driver.start(spec_of(clock, random)));
  std::string heard;
  box->on_exit([&](const ExitInfo& info) { heard = info.describe(); });
  driver.running().at(0)->end({.reason = ExitReason::out_of_memory, .code = 137, .limit = "512Mi"});
  EXPECT_EQ(heard, "exit 137, out of memory at 512Mi");
  EXPECT_EQ(run(box->dial(8000)).error().id(), ErrorId::GR0306);
}

TEST(FakeDriver, FindsItsSandboxesInTheNextLife) {
  ManualClock clock;
  SeededRandom random(1);
  FakeDriver driver(clock);
  Spec alive = spec_of(clock, random);
  Spec dead = spec_of(clock, random);
  run(driver.start(alive));
  run((*run(driver.start(dead)))->stop(Duration{}));
  auto next = driver.next_life();
  auto recovered = run(next->recover({{alive.id, {}}, {dead.id, {}}}, Duration{}));
  ASSERT_EQ(recovered.attached.size(), 1u);
  EXPECT_EQ(recovered.attached[0]->id(), alive.id);
  ASSERT_EQ(recovered.dead.size(), 1u);
  EXPECT_EQ(recovered.dead[0].exit.describe(), "signal 15 (SIGTERM)");
}

}  // namespace
}  // namespace gantry::sandbox
