# What `make install` and `make package` put where: the binary, the shim, completions, the man page,
# the systemd unit and the documents. Completions and the man page are printed by the binary itself
# (its command table is the only source), so they exist only for a build that this machine can run.
include(GNUInstallDirs)

# Installing needs what is installed, not every test and benchmark.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY TRUE)

if(TARGET gantry)
  set(generated ${CMAKE_BINARY_DIR}/generated)
  set(documents ${generated}/gantry.1 ${generated}/gantry.bash ${generated}/_gantry ${generated}/gantry.fish)
  add_custom_command(
    OUTPUT ${documents}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${generated}
    COMMAND gantry __reference man > ${generated}/gantry.1
    COMMAND gantry completion bash > ${generated}/gantry.bash
    COMMAND gantry completion zsh > ${generated}/_gantry
    COMMAND gantry completion fish > ${generated}/gantry.fish
    DEPENDS gantry
    COMMENT "Printing the man page and the completions"
    VERBATIM)
  # Sanitizers slow every build down enough; only what users install is made by `all`.
  set(everyone "")
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    set(everyone ALL)
  endif()
  add_custom_target(generated_documents ${everyone} DEPENDS ${documents})

  install(TARGETS gantry RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES ${generated}/gantry.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${generated}/gantry.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME gantry)
  install(FILES ${generated}/_gantry DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
  install(FILES ${generated}/gantry.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
if(TARGET gantry-shim)
  # Not in the PATH: nobody starts it by hand.
  install(TARGETS gantry-shim RUNTIME DESTINATION lib/gantry)
endif()

# The unit names the binary by its absolute path, so it follows the prefix.
set(GANTRY_BINARY ${CMAKE_INSTALL_FULL_BINDIR}/gantry)
configure_file(${CMAKE_SOURCE_DIR}/deploy/systemd/gantry.service.in ${CMAKE_BINARY_DIR}/gantry.service @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/gantry.service DESTINATION lib/systemd/system)
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME gantry)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The Gantry maintainers <maintainers@users.noreply.github.com>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Runs programs as isolated agents behind a durable proxy")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "Gantry starts any HTTP program in a sandbox of its own and puts a proxy in\nfront of it that writes every request to a journal before it forwards it,\nso that no accepted request is lost when the program or the server dies.")
# Shared libraries are found by dpkg-shlibdeps; bubblewrap is a program that the server starts.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "bubblewrap (>= 0.8)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "python3")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "nodejs")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/deploy/debian/postinst ${CMAKE_SOURCE_DIR}/deploy/debian/prerm
  ${CMAKE_SOURCE_DIR}/deploy/debian/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
