#include <gtest/gtest.h>

#include "requests/requests.h"

namespace gantry::requests {
namespace {

Traits traits() {
  return {.id = RequestId(IdBytes{7}),
          .agent = "bot",
          .target = "/ask/why?lang=en",
          .key = "order-17",
          .reason = "The agent did not answer",
          .status = Status::failed,
          .created_at = time_from_unix_ms(1000)};
}

TEST(Filter, TakesEverythingWithoutAConditionAndKnowsEachOne) {
  EXPECT_TRUE(matches({}, traits()));
  struct Case {
    Filter yes;
    Filter no;
  };
  const Case cases[] = {
      {{.agent = "bot"}, {.agent = "bo"}},
      {{.status = Status::failed}, {.status = Status::pending}},
      {{.created_before = time_from_unix_ms(1001)}, {.created_before = time_from_unix_ms(1000)}},
      {{.created_after = time_from_unix_ms(1000)}, {.created_after = time_from_unix_ms(1001)}},
      {{.key = "order-17"}, {.key = "order"}},
      {{.path = "/ask"}, {.path = "ask"}},
      {{.path = "/ask/*"}, {.path = "/ask/*y?"}},
      {{.path = "*/w?y"}, {.path = "/as?"}},
      {{.reason = "the AGENT"}, {.reason = "timeout"}},
      {{.text = "LANG=en"}, {.text = "nowhere"}},
      {{.text = "order-1"}, {.text = "order-18"}},
      {{.text = "REQ_"}, {.text = "req_z"}},
  };
  for (const Case& each : cases) {
    EXPECT_TRUE(matches(each.yes, traits())) << &each - cases;
    EXPECT_FALSE(matches(each.no, traits())) << &each - cases;
  }
}

TEST(Filter, LeavesDeliveriesOutOnlyIfNoQueueIsNamed) {
  Traits delivery = traits();
  delivery.agent = "webhook:ops";
  EXPECT_TRUE(matches({}, delivery));
  EXPECT_FALSE(matches({.queues = Filter::Queues::of_agents}, delivery));
  EXPECT_TRUE(matches({.agent = "webhook:ops", .queues = Filter::Queues::of_agents}, delivery));
}

TEST(Filter, AnswersForAPatternOfManyStarsInTime) {
  std::string pattern, path = "/";
  for (int i = 0; i < 50; ++i) pattern += "*a";
  path += std::string(2000, 'a') + "b";
  Traits long_path = traits();
  long_path.target = path;
  EXPECT_FALSE(matches({.path = pattern}, long_path));
  EXPECT_TRUE(matches({.path = pattern + "*"}, long_path));
}

}  // namespace
}  // namespace gantry::requests
