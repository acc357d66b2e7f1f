#include "agents/probe.h"

#include <gtest/gtest.h>

namespace gantry::agents {
namespace {

TEST(CompareJson, SaysWhatIsNotAsExpected) {
  const std::string text = R"({"status":"ok","db":{"state":"down","lag":3},"ready":true,"list":["a"]})";
  EXPECT_EQ(compare_json(text, {{"status", "ok"}, {"ready", "true"}, {"db.lag", "3"}, {"list.0", "a"}}), "");
  EXPECT_EQ(compare_json(text, {{"db.state", "up"}}), R"(db.state is "down", not "up")");
  EXPECT_EQ(compare_json(text, {{"db.x", "up"}}), "db.x is missing");
  EXPECT_EQ(compare_json(text, {{"db", "up"}}), R"(db is "{\"state\":\"down\",\"lag\":3}", not "up")");
  EXPECT_EQ(compare_json("ok", {{"a", "b"}}), "the body is not JSON");
}

}  // namespace
}  // namespace gantry::agents
