// What asc defines from asconfig.json ("use"), for TypeScript's checker.

/** 1 in the debug targets, 0 in the release targets, where `if (TRACE)` compiles to nothing. */
declare const TRACE: i32;
