# The example programs as text inside the binary, so that `gantry demo` needs nothing beside it.
set(examples ${CMAKE_SOURCE_DIR}/examples)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  ${examples}/python-counter/app.py ${examples}/node-notes/app.js)
file(READ ${examples}/python-counter/app.py GANTRY_PYTHON_COUNTER)
file(READ ${examples}/node-notes/app.js GANTRY_NODE_NOTES)
configure_file(demo_programs.cc.in ${CMAKE_CURRENT_BINARY_DIR}/demo_programs.cc @ONLY)
target_sources(gantry_cli PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/demo_programs.cc)
