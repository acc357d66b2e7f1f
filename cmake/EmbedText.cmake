# cmake -DINPUT=file -DOUTPUT=file.cc -DVARIABLE=namespace::name -P EmbedText.cmake
# Writes a source file that defines the std::string_view VARIABLE with the text of INPUT. The literal is cut into
# pieces that an editor can show; a compiler need not take 64 KiB and more of them, and ours does.
file(READ ${INPUT} text)
string(REGEX MATCH "^(.*)::([^:]+)$" found ${VARIABLE})
set(space ${CMAKE_MATCH_1})
set(name ${CMAKE_MATCH_2})
string(LENGTH "${text}" length)
set(literal "")
set(at 0)
while(at LESS length)
  string(SUBSTRING "${text}" ${at} 8000 piece)
  string(APPEND literal "R\"~gantry~(${piece})~gantry~\"\n")
  math(EXPR at "${at} + 8000")
endwhile()
file(WRITE ${OUTPUT} "#include <string_view>\n\n#pragma clang diagnostic ignored \"-Woverlength-strings\"\n\nnamespace ${space} {\nextern const std::string_view ${name};\nconst std::string_view ${name} =\n${literal};\n}  // namespace ${space}\n")
