#include "proxy/prefer.h"

#include <gtest/gtest.h>

namespace gantry::proxy {
namespace {

constexpr Duration longest = std::chrono::minutes(10);

TEST(Preference, ReadsWaitAndRespondAsync) {
  struct Row {
    std::string_view value;
    std::optional<int> wait_s;
    bool async = false;
  };
  for (const Row& row : {Row{"wait=30", 30}, Row{"Wait = 5", 5}, Row{"wait=\"7\"", 7},
                         Row{"respond-async, wait=10", 10, true}, Row{"respond-async", {}, true}, Row{"wait=5; x=1", 5},
                         Row{"wait=99999999999999999999", 600}, Row{"wait=0", 0}, Row{"wait=-1", {}}, Row{"wait=x", {}},
                         Row{"wait", {}}, Row{"handling=lenient", {}}, Row{"", {}}, Row{",,=,;", {}}}) {
    Preference preference = parse_preference({{"PREFER", row.value}}, longest);
    EXPECT_EQ(preference.wait.has_value(), row.wait_s.has_value()) << row.value;
    if (preference.wait && row.wait_s) EXPECT_EQ(*preference.wait, std::chrono::seconds(*row.wait_s)) << row.value;
    EXPECT_EQ(preference.respond_async, row.async) << row.value;
  }
}

TEST(Preference, TheFirstOfSeveralWins) {
  Preference preference = parse_preference({{"prefer", "wait=1"}, {"prefer", "wait=2, wait=3"}}, longest);
  EXPECT_EQ(preference.wait, std::chrono::seconds(1));
}

}  // namespace
}  // namespace gantry::proxy
