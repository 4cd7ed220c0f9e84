/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// The modules that a task can request by name.

// Calls `step(cb)` for the elements one after another. The first error ends it.
function inTurn(steps, step, cb) {
    var results = [];
    function next(index) {
        if (index === steps.length) {
            cb(null, results);
            return;
        }
        step(steps[index], function (err, result) {
            results.push(result);
            if (err) {
                cb(err, results);
            } else {
                next(index + 1);
            }
        });
    }
    next(0);
}

// Calls `step(cb)` for all elements at once. The first error ends it.
function atOnce(steps, step, cb) {
    var left = steps.length;
    var over = false;
    var results = [];
    if (left === 0) {
        cb(null, results);
        return;
    }
    steps.forEach(function (one, index) {
        step(one, function (err, result) {
            results[index] = result;
            left -= 1;
            if (!over && (err || left === 0)) {
                over = true;
                cb(err || null, results);
            }
        });
    });
}

function nothing() {
    return undefined;
}

// Iterates over a list, without results.
function each(how) {
    return function (list, step, cb) {
        how(list || [], step, function (err) {
            (cb || nothing)(err);
        });
    };
}

// Calls functions in a list or an object, with results in the same shape.
function functions(how) {
    return function (tasks, cb) {
        var names = Object.keys(tasks);
        how(names, function (name, done) {
            tasks[name](done);
        }, function (err, results) {
            var shaped = Array.isArray(tasks) ? results : {};
            if (!Array.isArray(tasks)) {
                names.forEach(function (name, index) {
                    shaped[name] = results[index];
                });
            }
            (cb || nothing)(err, shaped);
        });
    };
}

function waterfall(tasks, cb) {
    function next(index, args) {
        if (index === tasks.length) {
            (cb || nothing).apply(null, [null].concat(args));
            return;
        }
        tasks[index].apply(null, args.concat(function (err) {
            if (err) {
                (cb || nothing)(err);
            } else {
                next(index + 1, argumentsFrom(arguments, 1));
            }
        }));
    }
    next(0, []);
}

function whilst(test, step, cb) {
    if (!test()) {
        cb();
        return;
    }
    step(function (err) {
        if (err) {
            cb(err);
        } else {
            whilst(test, step, cb);
        }
    });
}

var asyncModule = {
    each: each(atOnce),
    forEach: each(atOnce),
    eachSeries: each(inTurn),
    forEachSeries: each(inTurn),
    map: atOnce,
    mapSeries: inTurn,
    series: functions(inTurn),
    parallel: functions(atOnce),
    waterfall: waterfall,
    whilst: whilst,
    until: function (test, step, cb) {
        whilst(function () {
            return !test();
        }, step, cb);
    }
};

// Collects results as vasync does: one operation for each function or input.
function operations(how, options, list, step, cb) {
    var results = {operations: [], successes: [], nerrors: 0, ndone: 0};
    how(list, function (one, done) {
        step(one, function (err, result) {
            results.operations.push({status: err ? 'fail' : 'ok', err: err, result: result});
            results.ndone += 1;
            results.nerrors += err ? 1 : 0;
            if (!err) {
                results.successes.push(result);
            }
            done(err, result);
        });
    }, function (err) {
        (cb || nothing)(err, results);
    });
    return results;
}

function vasyncOverFunctions(how) {
    return function (options, cb) {
        return operations(how, options, options.funcs, function (func, done) {
            if (how === inTurn) {
                func(options.arg, done);
            } else {
                func(done);
            }
        }, cb);
    };
}

function vasyncOverInputs(how) {
    return function (options, cb) {
        return operations(how, options, options.inputs || [], options.func, cb);
    };
}

var vasyncModule = {
    pipeline: vasyncOverFunctions(inTurn),
    parallel: vasyncOverFunctions(atOnce),
    forEachPipeline: vasyncOverInputs(inTurn),
    forEachParallel: vasyncOverInputs(atOnce)
};

function uuidModule() {
    return host.uuid();
}
uuidModule.v4 = uuidModule;

var urlModule = {
    parse: function (text) {
        var parts = /^(?:([a-z][a-z0-9+.-]*:)\/\/(?:([^@\/]*)@)?(([^:\/?#]*)(?::(\d+))?))?([^?#]*)(\?[^#]*)?(#.*)?$/i
            .exec(text) || [];
        var search = parts[7] || null;
        return {
            href: text,
            protocol: parts[1] || null,
            auth: parts[2] || null,
            host: parts[3] || null,
            hostname: parts[4] || null,
            port: parts[5] || null,
            pathname: parts[6] || null,
            search: search,
            query: search && search.slice(1),
            path: (parts[6] || '') + (search || '') || null,
            hash: parts[8] || null
        };
    }
};

var utilModule = {
    format: format,
    inspect: inspect,
    isArray: Array.isArray,
    inherits: function (child, parent) {
        child.super_ = parent;
        child.prototype = Object.create(parent.prototype, {constructor: {value: child}});
    }
};

function VError() {
    var args = argumentsFrom(arguments, 0);
    var cause = args[0] instanceof Error ? args.shift() : args[0] && args[0].cause;
    if (args[0] && typeof (args[0]) === 'object') {
        args.shift();
    }
    var message = args.length ? format.apply(null, args) : '';
    var error = new Error(cause ? message + (message ? ': ' : '') + cause.message : message);
    Object.setPrototypeOf(error, VError.prototype);
    error.name = 'VError';
    error.cause = function () {
        return cause;
    };
    return error;
}
VError.prototype = Object.create(Error.prototype, {constructor: {value: VError}});

var modules = {
    'async': asyncModule,
    'restify': {createJsonClient: createJsonClient, createJSONClient: createJsonClient,
        createStringClient: createStringClient},
    'restify-clients': {createJsonClient: createJsonClient, createStringClient: createStringClient},
    'sdc-clients': {IMGAPI: IMGAPI, VMAPI: VMAPI, CNAPI: CNAPI},
    'url': urlModule,
    'util': utilModule,
    'uuid': uuidModule,
    'vasync': vasyncModule,
    'verror': {VError: VError, WError: VError}
};

// The modules of a task that names none.
var defaultModules = {
    urlModule: 'url', uuid: 'uuid', restify: 'restify', async: 'async', sdcClients: 'sdc-clients', vasync: 'vasync',
    verror: 'verror'
};
